//! DynamoDB, in awsJson1.0: tables with global secondary indexes, and the expressions that items are written, found and
//! shown by. Reads are always consistent, capacity has no limits and nothing expires.

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock};

use serde_json::Value;

use crate::call::Call;
use crate::failure::Failure;
use crate::reply::Reply;

mod attribute;
mod expression;
mod items;
mod journal;
mod saved;
mod schema;
mod search;
mod table;
mod tables;

use journal::{Journal, Kept, Write};
use tables::Tables;

#[derive(Debug, Default)]
pub(crate) struct DynamoDb {
    tables: RwLock<Tables>,
    /// Held by the one write that is under way, so that the journal is in the order of the writes. Reads don't wait
    /// while one is noted.
    journal: Mutex<Option<Journal>>,
}

/// The client's mistake, as DynamoDB names most of them.
fn invalid(message: impl Into<String>) -> Failure {
    Failure::bad("ValidationException", message)
}

impl DynamoDb {
    /// With the tables that this folder keeps, and to be kept there.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut kept = Kept::read(folder)?;
        let mut tables = Tables::restore(std::mem::take(&mut kept.tables)).map_err(io::Error::other)?;
        for Write { operation, body } in std::mem::take(&mut kept.writes) {
            // What was done once can be done again on the same tables.
            if let Err(error) = tables.write(&operation, body.as_bytes()) {
                tracing::warn!(%error, operation, body, "a write of the journal can't be done again: it is left out");
            }
        }
        let journal = kept.begin(&tables.save())?;
        Ok(Self { tables: RwLock::new(tables), journal: Mutex::new(Some(journal)) })
    }

    pub(crate) fn handle(&self, call: &Call) -> Result<Reply, Failure> {
        let Call { operation, body, .. } = call;
        let answer = if is_read(operation) {
            self.tables.read().unwrap_or_else(PoisonError::into_inner).read(operation, body)?
        } else {
            self.write(operation, body)?
        };
        Ok(Reply::json(&answer))
    }

    fn write(&self, operation: &str, body: &[u8]) -> Result<Value, Failure> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(journal) = journal.as_mut() {
            // Before the write is done: one that can't be kept must not be seen, either.
            journal.catch_up().map_err(unkept)?;
        }
        let answer = self.tables.write().unwrap_or_else(PoisonError::into_inner).write(operation, body)?;
        if let Some(journal) = journal.as_mut() {
            let body = String::from_utf8_lossy(body).into_owned();
            journal.note(&Write { operation: operation.to_owned(), body }).map_err(unkept)?;
        }
        Ok(answer)
    }
}

fn unkept(error: io::Error) -> Failure {
    tracing::error!(%error, "a write to DynamoDB can't be kept");
    Failure::new(500, "InternalServerError", format!("The write can't be kept on disk: {error}"))
}

fn is_read(operation: &str) -> bool {
    ["Get", "BatchGet", "Query", "Scan", "Describe", "List"].iter().any(|read| operation.starts_with(read))
}
