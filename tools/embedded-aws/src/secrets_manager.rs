//! Secrets Manager, as far as keeping and reading secrets goes, in awsJson1.1. A secret that is scheduled for
//! deletion keeps its name for good: time does not pass so fast here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hyper::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::call::Call;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::reply::Reply;
use crate::service::Service;
use crate::{ACCOUNT, REGION};

#[derive(Debug)]
pub(crate) struct SecretsManager {
    /// By name.
    secrets: Mutex<BTreeMap<String, Secret>>,
    clock: Clock,
}

#[derive(Debug)]
struct Secret {
    arn: String,
    description: Option<String>,
    /// Milliseconds since the epoch.
    created_at: u64,
    changed_at: u64,
    current: Version,
    previous: Option<Version>,
    /// Since when it is scheduled for deletion.
    deleted_at: Option<u64>,
}

#[derive(Clone, Debug)]
struct Version {
    id: String,
    content: Content,
    created_at: u64,
}

/// A text or, in Base64, bytes: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Content {
    secret_string: Option<String>,
    secret_binary: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateSecret {
    name: String,
    description: Option<String>,
    client_request_token: Option<String>,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutSecretValue {
    secret_id: String,
    client_request_token: Option<String>,
    #[serde(flatten)]
    content: Content,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfSecret {
    secret_id: String,
    version_id: Option<String>,
    version_stage: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DeleteSecret {
    secret_id: String,
    #[serde(default)]
    force_delete_without_recovery: bool,
}

fn not_found(what: &str) -> Failure {
    Failure::bad("ResourceNotFoundException", format!("Secrets Manager can't find the specified secret{what}."))
}

fn invalid(message: &str) -> Failure {
    Failure::bad("InvalidRequestException", message)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| Failure::bad("InvalidParameterException", error.to_string()))
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

impl Version {
    fn new(id: Option<String>, content: Content, created_at: u64) -> Result<Self, Failure> {
        if content.secret_string.is_some() == content.secret_binary.is_some() {
            return Err(invalid("You must provide either SecretString or SecretBinary."));
        }
        Ok(Self { id: id.unwrap_or_else(|| Uuid::now_v7().to_string()), content, created_at })
    }
}

impl Secret {
    /// Each version with its stage.
    fn versions(&self) -> impl Iterator<Item = (&Version, &'static str)> {
        [(&self.current, "AWSCURRENT")].into_iter().chain(self.previous.iter().map(|version| (version, "AWSPREVIOUS")))
    }

    fn check_kept(&self) -> Result<(), Failure> {
        match self.deleted_at {
            None => Ok(()),
            Some(_) => {
                Err(invalid("You can't perform this operation on the secret because it is scheduled for deletion."))
            }
        }
    }

    /// As DescribeSecret tells it; the stages of its versions stand under `stages_in`.
    fn describe(&self, name: &str, stages_in: &str) -> Value {
        let stages = self.versions().map(|(version, stage)| (version.id.clone(), json!([stage])));
        let mut described = json!({
            "ARN": self.arn,
            "Name": name,
            "CreatedDate": seconds(self.created_at),
            "LastChangedDate": seconds(self.changed_at),
        });
        described[stages_in] = Value::Object(stages.collect());
        if let Some(description) = &self.description {
            described["Description"] = json!(description);
        }
        if let Some(deleted_at) = self.deleted_at {
            described["DeletedDate"] = json!(seconds(deleted_at));
        }
        described
    }
}

/// The secret of this name or ARN.
fn find<'a>(secrets: &'a mut BTreeMap<String, Secret>, id: &str) -> Result<(String, &'a mut Secret), Failure> {
    let found = secrets.iter_mut().find(|(name, secret)| *name == id || secret.arn == id);
    found.map(|(name, secret)| (name.clone(), secret)).ok_or_else(|| not_found(""))
}

impl Default for SecretsManager {
    fn default() -> Self {
        Self { secrets: Mutex::default(), clock: Clock::new() }
    }
}

impl SecretsManager {
    pub(crate) fn handle(&self, call: &Call) -> Result<Reply, Failure> {
        let body = call.body.as_ref();
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match call.operation.as_str() {
            "CreateSecret" => self.create(&mut secrets, parse(body)?)?,
            "GetSecretValue" => get(&mut secrets, &parse(body)?)?,
            "PutSecretValue" => self.put(&mut secrets, parse(body)?)?,
            "DescribeSecret" => {
                let (name, secret) = find(&mut secrets, &parse::<OfSecret>(body)?.secret_id)?;
                secret.describe(&name, "VersionIdsToStages")
            }
            "ListSecrets" => {
                let kept = secrets.iter().filter(|(_, secret)| secret.deleted_at.is_none());
                let listed = kept.map(|(name, secret)| secret.describe(name, "SecretVersionsToStages"));
                json!({ "SecretList": listed.collect::<Vec<_>>() })
            }
            "DeleteSecret" => {
                let DeleteSecret { secret_id, force_delete_without_recovery } = parse(body)?;
                let (name, secret) = find(&mut secrets, &secret_id)?;
                let now = self.clock.now();
                secret.deleted_at = Some(now);
                let answer = json!({ "ARN": secret.arn, "Name": name, "DeletionDate": seconds(now) });
                if force_delete_without_recovery {
                    secrets.remove(&name);
                }
                answer
            }
            other => return Err(Failure::unknown_operation(Service::SecretsManager, other)),
        };
        Ok(Reply::new(StatusCode::OK, "application/x-amz-json-1.1", answer.to_string()))
    }

    fn create(&self, secrets: &mut BTreeMap<String, Secret>, request: CreateSecret) -> Result<Value, Failure> {
        let CreateSecret { name, description, client_request_token, content } = request;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
        if name.is_empty() || name.len() > 512 || !name.chars().all(is_plain) {
            let why = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!";
            return Err(Failure::bad("InvalidParameterException", why));
        }
        let now = self.clock.now();
        let version = Version::new(client_request_token, content, now)?;
        if let Some(secret) = secrets.get(&name) {
            secret.check_kept()?;
            // The SDK repeats a call under the token that it had the first time.
            if secret.current.id == version.id && secret.current.content == version.content {
                return Ok(json!({ "ARN": secret.arn, "Name": name, "VersionId": version.id }));
            }
            let why = format!("The operation failed because the secret {name} already exists.");
            return Err(Failure::bad("ResourceExistsException", why));
        }
        // Six characters, so that a secret's successor of the same name is another one.
        let id = Uuid::now_v7().simple().to_string().split_off(26);
        let arn = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-{id}");
        let answer = json!({ "ARN": arn, "Name": name, "VersionId": version.id });
        let secret = Secret {
            arn,
            description,
            created_at: now,
            changed_at: now,
            current: version,
            previous: None,
            deleted_at: None,
        };
        secrets.insert(name, secret);
        Ok(answer)
    }

    fn put(&self, secrets: &mut BTreeMap<String, Secret>, request: PutSecretValue) -> Result<Value, Failure> {
        let PutSecretValue { secret_id, client_request_token, content } = request;
        let (name, secret) = find(secrets, &secret_id)?;
        secret.check_kept()?;
        let now = self.clock.now();
        let version = Version::new(client_request_token, content, now)?;
        let id = version.id.clone();
        if let Some((known, _)) = secret.versions().find(|(known, _)| known.id == id) {
            if known.content != version.content {
                let why = "You can't use ClientRequestToken of an existing version with other content.";
                return Err(Failure::bad("ResourceExistsException", why));
            }
        } else {
            secret.previous = Some(std::mem::replace(&mut secret.current, version));
            secret.changed_at = now;
        }
        Ok(json!({ "ARN": secret.arn, "Name": name, "VersionId": id, "VersionStages": ["AWSCURRENT"] }))
    }
}

fn get(secrets: &mut BTreeMap<String, Secret>, request: &OfSecret) -> Result<Value, Failure> {
    let (name, secret) = find(secrets, &request.secret_id)?;
    secret.check_kept()?;
    let wanted = match (&request.version_id, &request.version_stage) {
        (None, None) => Some("AWSCURRENT"),
        (_, stage) => stage.as_deref(),
    };
    let is_wanted = |(version, stage): &(&Version, &str)| {
        wanted.is_none_or(|wanted| wanted == *stage) && request.version_id.as_ref().is_none_or(|id| *id == version.id)
    };
    let (version, stage) = secret.versions().find(is_wanted).ok_or_else(|| not_found(" value for that version"))?;
    let mut answer = json!({
        "ARN": secret.arn,
        "Name": name,
        "VersionId": version.id,
        "VersionStages": [stage],
        "CreatedDate": seconds(version.created_at),
    });
    if let Some(text) = &version.content.secret_string {
        answer["SecretString"] = json!(text);
    }
    if let Some(bytes) = &version.content.secret_binary {
        answer["SecretBinary"] = json!(bytes);
    }
    Ok(answer)
}
