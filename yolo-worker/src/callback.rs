//! Tells polybot that a prediction is finished.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// The longest one call may take: polybot sends a photo to Telegram meanwhile.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Two more tries, after 0.3 s and 2.1 s; after the last one polybot's sweep finds the result.
const BACKOFF: ExponentialBuilder =
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(300)).with_factor(7.0).with_max_times(2);

/// Polybot's `/results`.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    client: Client,
    url: Url,
    secret: SecretString,
}

/// Polybot was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallbackError {
    /// It answered, but not with success.
    #[error("polybot answered {0}")]
    Refused(StatusCode),
    /// It can't be reached.
    #[error("polybot can't be reached: {0}")]
    Unreachable(String),
}

impl CallbackError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused(status) => status.is_server_error(),
            Self::Unreachable(_) => true,
        }
    }
}

impl Callback {
    /// Calls go to this address with this secret.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub(crate) fn new(url: Url, secret: SecretString) -> reqwest::Result<Self> {
        let client = Client::builder().connect_timeout(Duration::from_secs(3)).timeout(TIMEOUT).build()?;
        Ok(Self { client, url, secret })
    }

    /// Tell polybot; retries a little where that can help.
    ///
    /// # Errors
    /// [`CallbackError`] of the last try. Nothing is lost: polybot's sweep will find the prediction.
    pub(crate) async fn finished(&self, prediction_id: Uuid) -> Result<(), CallbackError> {
        (|| self.call(prediction_id)).retry(BACKOFF).when(CallbackError::may_pass).await
    }

    async fn call(&self, prediction_id: Uuid) -> Result<(), CallbackError> {
        let request = self
            .client
            .post(self.url.clone())
            .query(&[("predictionId", prediction_id.to_string())])
            .bearer_auth(self.secret.expose_secret())
            .send();
        let response = request.await.map_err(|error| CallbackError::Unreachable(fleet::in_words(&error)))?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(CallbackError::Refused(status)) }
    }
}
