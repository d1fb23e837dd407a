//! The real Telegram, in the sandbox's place.

use std::fmt;

/// A bot's account at Telegram. The token is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct RealTelegram {
    token: String,
    /// The Bot API's address, where it is not Telegram's own.
    api_url: Option<String>,
}

impl fmt::Debug for RealTelegram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealTelegram").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

impl RealTelegram {
    /// The account that this program's environment names with `TELEGRAM_TOKEN`, and `TELEGRAM_API_URL` if it is set.
    /// Only from the environment: what is in the arguments, every process on the machine can read.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Some(Self { token: set("TELEGRAM_TOKEN")?, api_url: set("TELEGRAM_API_URL") })
    }

    /// What polybot needs to reach it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let api_url = self.api_url.clone().map(|url| ("TELEGRAM_API_URL", url));
        std::iter::once(("TELEGRAM_TOKEN", self.token.clone())).chain(api_url).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_not_shown() {
        let telegram = RealTelegram { token: "123:secret".into(), api_url: None };
        assert!(!format!("{telegram:?}").contains("secret"));
        assert_eq!(telegram.environment(), [("TELEGRAM_TOKEN", "123:secret".to_owned())]);
    }
}
