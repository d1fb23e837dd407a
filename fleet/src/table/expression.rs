//! What a write does and under which condition, as a value.

use aws_sdk_dynamodb::types::AttributeValue;

use super::attribute::{Attribute, LEASE_UNTIL, Value};
use super::condition::{Condition, Name};
use super::rendered::{Rendered, Words};
use crate::Timestamp;

/// Changes to the attributes of one item, and the condition under which they happen.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct UpdateExpression {
    sets: Vec<(Name, Set)>,
    adds: Vec<(Name, AttributeValue)>,
    removes: Vec<Name>,
    condition: Option<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
enum Set {
    To(AttributeValue),
    IfAbsent(AttributeValue),
}

impl UpdateExpression {
    /// One that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Give the attribute this value.
    pub fn set<T: Value>(mut self, attribute: Attribute<T>, value: impl Into<T>) -> Self {
        self.sets.push((attribute.into_name(), Set::To(value.into().into_attribute())));
        self
    }

    /// The same, if there is a value.
    pub fn set_if_some<T: Value>(self, attribute: Attribute<T>, value: Option<impl Into<T>>) -> Self {
        match value {
            Some(value) => self.set(attribute, value),
            None => self,
        }
    }

    /// Give the attribute this value, or take it away if there is none.
    pub fn set_or_remove<T: Value>(self, attribute: Attribute<T>, value: Option<T>) -> Self {
        match value {
            Some(value) => self.set(attribute, value),
            None => self.remove(attribute),
        }
    }

    /// Give the attribute this value unless it has one: the first write decides.
    pub fn set_if_absent<T: Value>(mut self, attribute: Attribute<T>, value: impl Into<T>) -> Self {
        self.sets.push((attribute.into_name(), Set::IfAbsent(value.into().into_attribute())));
        self
    }

    /// Add to a number; one that is not there counts as zero.
    pub fn add<T: Value>(mut self, attribute: Attribute<T>, number: T) -> Self {
        self.adds.push((attribute.into_name(), number.into_attribute()));
        self
    }

    /// Take the attribute away, if it is there.
    pub fn remove<T>(mut self, attribute: Attribute<T>) -> Self {
        self.removes.push(attribute.into_name());
        self
    }

    /// Only if the item is like this, and like what was demanded before.
    pub fn when(mut self, condition: Condition) -> Self {
        self.condition = Some(match self.condition {
            Some(before) => before.and(condition),
            None => condition,
        });
        self
    }

    /// Take the lease on the item until `until`, if nobody holds it `now`.
    pub fn lease(self, now: Timestamp, until: Timestamp) -> Self {
        self.set(LEASE_UNTIL, until).when(LEASE_UNTIL.absent().or(LEASE_UNTIL.less_than(now)))
    }

    /// Hold the lease that ends at `held_until` until `until`, if it is still held: its holder has not lost it.
    pub fn extend_lease(self, held_until: Timestamp, until: Timestamp) -> Self {
        self.set(LEASE_UNTIL, until).when(LEASE_UNTIL.is(held_until))
    }

    /// Give the lease back that ends at `held_until`, if it is still held.
    pub fn release(self, held_until: Timestamp) -> Self {
        self.remove(LEASE_UNTIL).when(LEASE_UNTIL.is(held_until))
    }

    /// As DynamoDB wants to hear it.
    #[must_use]
    pub fn render(&self) -> Rendered {
        let mut words = Words::default();
        let sets = self.sets.iter().map(|(name, set)| {
            let name = words.name(name);
            match set {
                Set::To(value) => format!("{name} = {}", words.value(value)),
                Set::IfAbsent(value) => format!("{name} = if_not_exists({name}, {})", words.value(value)),
            }
        });
        let sets = sets.collect::<Vec<_>>().join(", ");
        let adds = self.adds.iter().map(|(name, value)| format!("{} {}", words.name(name), words.value(value)));
        let adds = adds.collect::<Vec<_>>().join(", ");
        let removes = self.removes.iter().map(|name| words.name(name)).collect::<Vec<_>>().join(", ");
        let clauses = [("SET", sets), ("ADD", adds), ("REMOVE", removes)];
        let clauses = clauses.iter().filter(|(_, changes)| !changes.is_empty());
        let update = clauses.map(|(verb, changes)| format!("{verb} {changes}")).collect::<Vec<_>>().join(" ");
        let condition = self.condition.as_ref().map(|condition| condition.render(&mut words));
        Rendered { update, condition, names: words.names, values: words.values }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue::{N, S};

    use super::super::attribute::{DEATHS, KEY, LEASE_UNTIL, PHOTOS, STATUS, TIME, UNDELIVERED, WORK_ID};
    use super::*;
    use crate::Status;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(seconds)
    }

    #[test]
    fn an_update_has_a_clause_for_each_kind_of_change() {
        let expression = UpdateExpression::new()
            .set(STATUS, Status::Done)
            .set(UNDELIVERED, Status::Done)
            .set(TIME, at(7))
            .set_if_absent(WORK_ID, uuid::Uuid::nil())
            .add(PHOTOS, 3_u64)
            .remove(LEASE_UNTIL)
            .remove(DEATHS);
        let rendered = expression.render();
        assert_eq!(
            rendered.update,
            "SET #status = :v0, #undelivered = :v0, #time = :v1, #work_id = if_not_exists(#work_id, :v2) \
             ADD #photos :v3 REMOVE #lease_until, #deaths"
        );
        assert_eq!(rendered.condition, None);
        let values = [(":v0", S("done".into())), (":v1", N("7".into())), (":v3", N("3".into()))];
        for (placeholder, value) in values {
            assert_eq!(rendered.values.get(placeholder), Some(&value), "{placeholder}");
        }
        assert_eq!(rendered.values.len(), 4);
        assert_eq!(rendered.names.get("#lease_until").map(String::as_str), Some("lease_until"));
        assert_eq!(rendered.names.len(), 7);
    }

    #[test]
    fn conditions_are_joined_and_bracketed() {
        let expression = UpdateExpression::new()
            .when(STATUS.is(Status::Queued))
            .lease(at(10), at(20))
            .when(KEY.exists())
            .when(TIME.at_most(at(10)).or(TIME.absent()).or(DEATHS.is_not(1_i64).and(DEATHS.less_than(5))));
        let rendered = expression.render();
        assert_eq!(rendered.update, "SET #lease_until = :v0");
        assert_eq!(
            rendered.condition.as_deref(),
            Some(
                "#status = :v1 AND (attribute_not_exists(#lease_until) OR #lease_until < :v2) \
                 AND attribute_exists(#prediction_id) \
                 AND (#time <= :v2 OR attribute_not_exists(#time) OR (#deaths <> :v3 AND #deaths < :v4))"
            )
        );
        assert_eq!(rendered.values.get(":v0"), Some(&N("20".into())));
        assert_eq!(rendered.values.get(":v2"), Some(&N("10".into())));
    }

    #[test]
    fn a_lease_is_given_back_by_the_one_that_holds_it() {
        let rendered = UpdateExpression::new().release(at(20)).render();
        assert_eq!(rendered.update, "REMOVE #lease_until");
        assert_eq!(rendered.condition.as_deref(), Some("#lease_until = :v0"));
    }
}
