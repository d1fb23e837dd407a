//! One error for every AWS call: what was tried, on what, and why it failed.

use std::error::Error as StdError;

use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata};

/// An AWS call that failed, after the retries that [`aws`](crate::aws) sets.
#[derive(Debug, thiserror::Error)]
#[error("{tried} failed: {reason}")]
pub struct AwsError {
    /// What was tried and on what, for example "sending a job to `QUEUE_URL`".
    tried: String,
    /// The service's error code, where it answered with one.
    code: Option<String>,
    /// The whole chain of causes, in words.
    reason: String,
}

impl AwsError {
    /// Wrap an SDK's error.
    pub fn new<E>(tried: impl Into<String>, error: E) -> Self
    where
        E: StdError + ProvideErrorMetadata,
    {
        let code = error.code().map(str::to_owned);
        Self { tried: tried.into(), code, reason: DisplayErrorContext(&error).to_string() }
    }

    /// The answer of a conditional write; `None` if its condition was not met: that is news, not a failure.
    ///
    /// # Errors
    /// Whatever else went wrong.
    pub fn unless_condition_failed<T, E>(
        answer: Result<T, E>,
        tried: impl FnOnce() -> String,
    ) -> Result<Option<T>, Self>
    where
        E: StdError + ProvideErrorMetadata,
    {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(None),
            Err(error) => Err(Self::new(tried(), error)),
        }
    }

    /// An answer that does not hold what the call promises.
    pub fn unexpected(tried: impl Into<String>, reason: impl ToString) -> Self {
        Self { tried: tried.into(), code: None, reason: reason.to_string() }
    }

    /// The service's error code, for example `NoSuchKey`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

/// An error with all its causes, in one line.
pub fn in_words(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
