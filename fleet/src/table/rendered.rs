//! Expressions as DynamoDB wants to hear them: texts with placeholders.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// Texts and what their placeholders stand for. Every name has one, so none has to be looked up among DynamoDB's reserved words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// The update expression; empty if there is none.
    pub update: String,
    /// The condition expression.
    pub condition: Option<String>,
    /// By placeholder.
    pub names: HashMap<String, String>,
    /// By placeholder.
    pub values: HashMap<String, AttributeValue>,
}

/// The placeholders of one call.
#[derive(Default)]
pub(super) struct Words {
    pub(super) names: HashMap<String, String>,
    pub(super) values: HashMap<String, AttributeValue>,
}

impl Words {
    pub(super) fn name(&mut self, name: &str) -> String {
        let placeholder = format!("#{name}");
        self.names.entry(placeholder.clone()).or_insert_with(|| name.to_owned());
        placeholder
    }

    /// One placeholder for each value, however often it is used.
    pub(super) fn value(&mut self, value: &AttributeValue) -> String {
        if let Some((placeholder, _)) = self.values.iter().find(|(_, known)| *known == value) {
            return placeholder.clone();
        }
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value.clone());
        placeholder
    }
}
