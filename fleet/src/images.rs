//! The photos, over S3.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use uuid::Uuid;

use crate::AwsError;

/// Where the photos lie as users sent them.
pub const ORIGINALS: &str = "images/original/";
/// Where photos lie that many jobs name.
pub const SHARED: &str = "images/original/shared/";
/// Where the annotated photos lie.
pub const PREDICTED: &str = "images/predicted/";

/// The key of a photo as the user sent it; `extension` without the dot, letters and digits only.
#[must_use]
pub fn original_key(prediction_id: Uuid, extension: &str) -> String {
    format!("{ORIGINALS}{prediction_id}.{extension}")
}

/// The key of a photo that many jobs name: a load generator stores its photos once. Nothing that came from a person lies
/// there.
#[must_use]
pub fn shared_key(photo: Uuid, extension: &str) -> String {
    format!("{SHARED}{photo}.{extension}")
}

/// The key of the annotated photo.
#[must_use]
pub fn predicted_key(prediction_id: Uuid) -> String {
    format!("{PREDICTED}{prediction_id}.jpg")
}

/// Whether `key` is one that [`original_key`] makes for this prediction.
#[must_use]
pub fn is_original_of(key: &str, prediction_id: Uuid) -> bool {
    key.strip_prefix(ORIGINALS)
        .and_then(|name| name.strip_prefix(prediction_id.to_string().as_str()))
        .is_some_and(is_dot_extension)
}

/// Whether `key` is one that [`shared_key`] makes.
#[must_use]
pub fn is_shared(key: &str) -> bool {
    let Some(name) = key.strip_prefix(SHARED) else { return false };
    name.split_once('.').is_some_and(|(photo, _)| {
        // As a whole, so that no other spelling of the same id passes.
        Uuid::parse_str(photo).is_ok_and(|id| id.to_string() == photo) && is_dot_extension(&name[photo.len()..])
    })
}

fn is_dot_extension(rest: &str) -> bool {
    let is_extension = |ext: &str| (1..=5).contains(&ext.len()) && ext.bytes().all(|b| b.is_ascii_alphanumeric());
    rest.strip_prefix('.').is_some_and(is_extension)
}

/// Why an image can't be read.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The bucket has no such object.
    #[error("there is no object {key} in the bucket {bucket}")]
    NotFound {
        /// The bucket.
        bucket: String,
        /// The key.
        key: String,
    },
    /// The object is larger than the caller accepts.
    #[error("the object {key} has {bytes} bytes; at most {limit} are accepted")]
    TooLarge {
        /// The key.
        key: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// S3 did not answer, or not with the object.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

/// The bucket.
#[derive(Clone, Debug)]
pub struct ImageStore {
    client: Client,
    bucket: String,
}

impl ImageStore {
    /// The bucket of this name.
    #[must_use]
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        Self { client, bucket: bucket.into() }
    }

    /// Store an object; one that is there is replaced.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn put(&self, key: &str, bytes: Bytes, content_type: &str) -> Result<(), AwsError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(|error| AwsError::new(format!("storing {key} in {}", self.bucket), error))?;
        Ok(())
    }

    /// Delete an object, if it is there.
    ///
    /// # Errors
    /// [`AwsError`] after the SDK's retries.
    pub async fn delete(&self, key: &str) -> Result<(), AwsError> {
        let deleted = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        deleted.map_err(|error| AwsError::new(format!("deleting {key} from {}", self.bucket), error))?;
        Ok(())
    }

    /// Read an object of at most `limit` bytes.
    ///
    /// # Errors
    /// [`GetError`].
    pub async fn get(&self, key: &str, limit: u64) -> Result<Bytes, GetError> {
        Ok(self.open(key, limit).await?.read().await?)
    }

    /// Begin to read an object of at most `limit` bytes: its size is known before its content takes memory.
    ///
    /// # Errors
    /// [`GetError`].
    pub async fn open(&self, key: &str, limit: u64) -> Result<Opened, GetError> {
        let tried = || format!("reading {key} from {}", self.bucket);
        let response = self.client.get_object().bucket(&self.bucket).key(key).send().await;
        let object = response.map_err(|error| {
            if error.as_service_error().is_some_and(|error| error.is_no_such_key()) {
                GetError::NotFound { bucket: self.bucket.clone(), key: key.into() }
            } else {
                AwsError::new(tried(), error).into()
            }
        })?;
        let bytes = object.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        if bytes > limit {
            return Err(GetError::TooLarge { key: key.into(), bytes, limit });
        }
        Ok(Opened { tried: tried(), bytes, body: object.body })
    }
}

/// An object whose size is known and whose content is still to be read.
#[derive(Debug)]
pub struct Opened {
    tried: String,
    bytes: u64,
    body: ByteStream,
}

impl Opened {
    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its content.
    ///
    /// # Errors
    /// [`AwsError`] if the rest of it does not come.
    pub async fn read(self) -> Result<Bytes, AwsError> {
        let Self { tried, body, .. } = self;
        let body = body.collect().await.map_err(|error| AwsError::unexpected(tried, error))?;
        Ok(body.into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_original_key_is_recognised() {
        let id = Uuid::now_v7();
        assert!(is_original_of(&original_key(id, "jpg"), id));
        assert!(is_original_of(&original_key(id, "webp"), id));
        assert!(!is_original_of(&original_key(Uuid::now_v7(), "jpg"), id));
        assert!(!is_original_of(&predicted_key(id), id));
        for bad in ["", ".", "/../x", ".j/pg", ".abcdef"] {
            assert!(!is_original_of(&format!("images/original/{id}{bad}"), id), "{bad}");
        }
    }

    #[test]
    fn only_shared_keys_are_shared() {
        let id = Uuid::now_v7();
        assert!(is_shared(&shared_key(id, "jpg")));
        assert!(!is_shared(&original_key(id, "jpg")));
        assert!(!is_original_of(&shared_key(id, "jpg"), id));
        for bad in ["images/original/shared/x.jpg", "images/original/shared/../x.jpg"] {
            assert!(!is_shared(bad), "{bad}");
        }
        for bad in ["", ".", ".jpg/x", "/../x.jpg", ".jpg.exe"] {
            assert!(!is_shared(&format!("images/original/shared/{id}{bad}")), "{bad}");
        }
        assert!(!is_shared(&shared_key(id, "jpg").to_uppercase()));
    }
}
