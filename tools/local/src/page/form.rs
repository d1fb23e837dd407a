//! What the composer sends: a text, photos and files, as a browser's form.

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use multer::{Constraints, Multipart, SizeLimit};
use telegram_sandbox::Post;

use super::problem::Problem;

/// The most photos in an album, as in Telegram.
pub(super) const MOST_FILES: usize = 10;
/// The largest file: what a bot may download from Telegram.
const MAX_FILE: u64 = 20 * 1024 * 1024;
/// The largest form: some large files, or an album of usual ones.
const MAX_FORM: u64 = 64 * 1024 * 1024;
/// The longest text of a message and the longest caption, in characters, as in Telegram.
const LONGEST_TEXT: usize = 4096;
const LONGEST_CAPTION: usize = 1024;

/// A message that is not posted yet.
#[derive(Debug, Default)]
pub(super) struct Form {
    text: String,
    files: Vec<Post>,
}

impl Form {
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let boundary = content_type.and_then(|value| multer::parse_boundary(value).ok());
        let boundary = boundary.ok_or_else(|| Problem::bad("A message comes as multipart/form-data."))?;
        let limit = SizeLimit::new().whole_stream(MAX_FORM).per_field(MAX_FILE).for_field("text", 64 * 1024);
        let constraints = Constraints::new().allowed_fields(vec!["text", "photo", "document"]).size_limit(limit);
        let mut parts = Multipart::with_constraints(request.into_body().into_data_stream(), boundary, constraints);
        let mut form = Self::default();
        while let Some(part) = parts.next_field().await.map_err(problem)? {
            let name = part.name().unwrap_or_default().to_owned();
            let file_name = part.file_name().unwrap_or("file").to_owned();
            match name.as_str() {
                "text" => form.text = part.text().await.map_err(problem)?.trim().to_owned(),
                "photo" => form.files.push(Post::photo(part.bytes().await.map_err(problem)?)),
                _ => form.files.push(Post::document(part.bytes().await.map_err(problem)?, file_name)),
            }
            if form.files.len() > MOST_FILES {
                return Err(Problem::bad(format!("An album has at most {MOST_FILES} photos.")));
            }
        }
        Ok(form)
    }

    /// One message, or the parts of an album; its caption stands under the first.
    pub(super) fn into_posts(self) -> Result<Vec<Post>, Problem> {
        let Self { text, mut files } = self;
        let length = text.chars().count();
        let (longest, what) = if files.is_empty() { (LONGEST_TEXT, "text") } else { (LONGEST_CAPTION, "caption") };
        if length > longest {
            return Err(Problem::bad(format!(
                "This {what} has {length} characters; Telegram takes at most {longest}."
            )));
        }
        if files.is_empty() {
            if text.is_empty() {
                return Err(Problem::bad("Write something, or add a photo."));
            }
            return Ok(vec![Post::text(text)]);
        }
        if !text.is_empty() {
            let first = files.remove(0);
            files.insert(0, first.caption(text));
        }
        Ok(files)
    }
}

fn problem(error: multer::Error) -> Problem {
    use multer::Error::{FieldSizeExceeded, StreamSizeExceeded};
    match error {
        FieldSizeExceeded { limit, .. } | StreamSizeExceeded { limit } => {
            let megabytes = limit / (1024 * 1024);
            Problem::too_large(format!("This is too large: the page takes at most {megabytes} MB of it."))
        }
        error => Problem::bad(format!("The message could not be read: {error}.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posts(text: &str, files: usize) -> Result<usize, Problem> {
        let files = (0..files).map(|_| Post::photo(b"a photo".to_vec())).collect();
        Form { text: text.into(), files }.into_posts().map(|posts| posts.len())
    }

    #[test]
    fn a_message_has_something_in_it_and_fits_into_telegram() {
        assert_eq!(posts("hello", 0).ok(), Some(1));
        assert_eq!(posts("", 3).ok(), Some(3));
        assert!(posts("", 0).is_err());
        assert!(posts(&"ä".repeat(4096), 0).is_ok());
        assert!(posts(&"ä".repeat(4097), 0).is_err());
        assert!(posts(&"ä".repeat(1025), 1).is_err());
    }
}
