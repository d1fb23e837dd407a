//! DynamoDB: `winterbaume-dynamodb`, with writes one at a time, and kept on disk where that is wanted.

use std::io;
use std::path::Path;
use std::sync::Arc;

use hyper::{HeaderMap, Method};
use tokio::sync::Mutex;
use winterbaume_core::default_account_id;
use winterbaume_dynamodb::{DynamoDbBackend as _, DynamoDbService, InMemoryDynamoDbBackend};

use crate::REGION;
use crate::call::Call;
use crate::failure::Failure;
use crate::gateway::delegate;
use crate::reply::Reply;
use crate::service::Service;

mod journal;
mod unwatched;

use journal::{Journal, Kept, Write};
use unwatched::Unwatched;

pub(crate) struct DynamoDb {
    service: DynamoDbService,
    /// Held by the one write that is under way: `winterbaume` reads for a condition and then writes, and between the two
    /// another write could come. Its journal, if there is one, is in the order of the writes.
    writes: Mutex<Option<Journal>>,
}

impl DynamoDb {
    /// Without tables, in memory.
    pub(crate) fn new() -> Self {
        Self::with(Arc::new(InMemoryDynamoDbBackend::new()), None)
    }

    fn with(tables: Arc<InMemoryDynamoDbBackend>, journal: Option<Journal>) -> Self {
        Self { service: DynamoDbService::with_backend(Arc::new(Unwatched(tables))), writes: Mutex::new(journal) }
    }

    /// With the tables that this folder keeps, and to be kept there.
    pub(crate) async fn open(folder: &Path) -> io::Result<Self> {
        let mut kept = Kept::read(folder)?;
        let tables = Arc::new(InMemoryDynamoDbBackend::new());
        let (account, region) = (default_account_id().to_owned(), REGION.to_owned());
        let view = std::mem::take(&mut kept.tables);
        tables.restore(account.clone(), region.clone(), view).await.map_err(io::Error::other)?;
        let dynamo_db = Self::with(Arc::clone(&tables), None);
        for write in std::mem::take(&mut kept.writes) {
            // What was done once can be done again on the same tables.
            delegate(&dynamo_db.service, again(write)?).await;
        }
        let journal = kept.begin(&tables.snapshot(account, region).await)?;
        *dynamo_db.writes.lock().await = Some(journal);
        Ok(dynamo_db)
    }

    pub(crate) async fn handle(&self, call: Call) -> Result<Reply, Failure> {
        if is_read(&call.operation) {
            return Ok(delegate(&self.service, call).await);
        }
        let mut writes = self.writes.lock().await;
        if let Some(journal) = writes.as_mut() {
            // Before the write is done: one that can't be kept must not be seen, either.
            journal.catch_up().map_err(unkept)?;
        }
        let write = writes.is_some().then(|| Write {
            operation: call.operation.clone(),
            body: String::from_utf8_lossy(&call.body).into_owned(),
        });
        let reply = delegate(&self.service, call).await;
        if let (Some(journal), Some(write), true) = (writes.as_mut(), write, reply.status.is_success()) {
            journal.note(&write).map_err(unkept)?;
        }
        Ok(reply)
    }
}

fn unkept(error: io::Error) -> Failure {
    tracing::error!(%error, "a write to DynamoDB can't be kept");
    Failure::new(500, "InternalServerError", format!("The write can't be kept on disk: {error}"))
}

fn is_read(operation: &str) -> bool {
    ["Get", "BatchGet", "Query", "Scan", "Describe", "List", "TransactGet"]
        .iter()
        .any(|read| operation.starts_with(read))
}

/// The call that a write came in.
fn again(write: Write) -> io::Result<Call> {
    let mut headers = HeaderMap::new();
    let target = format!("DynamoDB_20120810.{}", write.operation).parse().map_err(io::Error::other)?;
    headers.insert("x-amz-target", target);
    Ok(Call {
        service: Service::DynamoDb,
        operation: write.operation,
        method: Method::POST,
        target: "/".to_owned(),
        headers,
        body: write.body.into(),
    })
}
