//! Secrets: where the token comes from, what is derived from it, and how a secret is compared.

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Settings;

/// The bot's token, from the settings or from Secrets Manager.
pub(crate) async fn telegram_token(settings: &Settings, aws: &aws_config::SdkConfig) -> anyhow::Result<SecretString> {
    if let Some(token) = &settings.telegram_token {
        return Ok(token.expose_secret().trim().into());
    }
    let id = settings.telegram_secret_id.as_deref().context("neither TELEGRAM_TOKEN nor TELEGRAM_SECRET_ID is set")?;
    let response = aws_sdk_secretsmanager::Client::new(aws)
        .get_secret_value()
        .secret_id(id)
        .send()
        .await
        .map_err(|error| fleet::AwsError::new(format!("reading the secret {id} (TELEGRAM_SECRET_ID)"), error))?;
    let secret = response.secret_string().with_context(|| format!("the secret {id} holds no text"))?;
    token_in(secret)
        .map(SecretString::from)
        .with_context(|| format!("the secret {id} is JSON without a text under TELEGRAM_TOKEN"))
}

/// The token in a secret's text: plain, or under a key of a JSON object.
fn token_in(secret: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(secret) {
        Ok(serde_json::Value::Object(object)) => object.get("TELEGRAM_TOKEN")?.as_str().map(str::to_owned),
        _ => Some(secret.trim().to_owned()),
    }
}

/// The secret that Telegram shows at the webhook: the same on every instance, and no way back to the token.
pub(crate) fn webhook_secret(token: &SecretString) -> SecretString {
    hex::encode(Sha256::digest(format!("polybot webhook {}", token.expose_secret()))).into()
}

/// Whether the two are equal, in a time that does not tell where they differ.
pub(crate) fn equal(shown: &str, expected: &SecretString) -> bool {
    // Hashed first, so that the time does not tell the length either.
    let (shown, expected) = (Sha256::digest(shown), Sha256::digest(expected.expose_secret()));
    shown.ct_eq(&expected).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_plain_or_in_json() {
        assert_eq!(token_in("123:abc\n").as_deref(), Some("123:abc"));
        assert_eq!(token_in(r#"{"TELEGRAM_TOKEN": "123:abc"}"#).as_deref(), Some("123:abc"));
        assert_eq!(token_in(r#"{"OTHER": "123:abc"}"#), None);
    }

    #[test]
    fn the_webhook_secret_suits_telegram_and_hides_the_token() {
        let secret = |token: &str| webhook_secret(&token.into()).expose_secret().to_owned();
        let one = secret("123:abc");
        assert!(one.len() <= 256 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert!(!one.contains("abc"));
        assert_ne!(one, secret("123:abd"));
    }

    #[test]
    fn equality() {
        assert!(equal("a secret", &"a secret".into()));
        for wrong in ["", "a secre", "a secret ", "A secret"] {
            assert!(!equal(wrong, &"a secret".into()));
        }
    }
}
