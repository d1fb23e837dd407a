//! The AWS services that are served here, and the protocol each one's SDK client speaks.

use std::fmt;

/// An AWS service of the embedded endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Amazon S3.
    S3,
    /// Amazon SQS.
    Sqs,
    /// Amazon DynamoDB.
    DynamoDb,
    /// AWS Secrets Manager.
    SecretsManager,
    /// Amazon CloudWatch metrics and alarms.
    CloudWatch,
    /// Amazon EC2 Auto Scaling.
    AutoScaling,
}

/// The protocol of a service's requests and responses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    RestXml,
    Json10,
    Json11,
    RpcV2Cbor,
    Query,
}

impl Service {
    /// The service whose requests are signed with `name` (the fourth part of a SigV4 credential scope).
    pub(crate) fn from_signing_name(name: &str) -> Option<Self> {
        Some(match name {
            "s3" => Self::S3,
            "sqs" => Self::Sqs,
            "dynamodb" => Self::DynamoDb,
            "secretsmanager" => Self::SecretsManager,
            "monitoring" => Self::CloudWatch,
            "autoscaling" => Self::AutoScaling,
            _ => return None,
        })
    }

    /// The name the service's requests are signed with.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Sqs => "sqs",
            Self::DynamoDb => "dynamodb",
            Self::SecretsManager => "secretsmanager",
            Self::CloudWatch => "monitoring",
            Self::AutoScaling => "autoscaling",
        }
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::S3 => Protocol::RestXml,
            Self::Sqs | Self::DynamoDb => Protocol::Json10,
            Self::SecretsManager => Protocol::Json11,
            Self::CloudWatch => Protocol::RpcV2Cbor,
            Self::AutoScaling => Protocol::Query,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.signing_name())
    }
}
