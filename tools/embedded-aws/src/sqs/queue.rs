//! One standard queue: what is on it, what is in flight, and when that changes. Pure: the caller passes the time, so the state
//! is right to the millisecond. Besides the map of all messages there are two ordered ones, and each message is in one of
//! them, so every call costs O(log n).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Milliseconds since the epoch.
pub(crate) type Millis = u64;

/// The longest a message stays in flight after a receive, however often that is extended.
const LONGEST_FLIGHT: Millis = 12 * 60 * 60 * 1000;

/// What was sent, and its history.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(crate) struct Message {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) body_md5: String,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) attributes_md5: Option<String>,
    pub(crate) sent_at: Millis,
    pub(crate) first_received_at: Option<Millis>,
    pub(crate) receives: u32,
    /// The queue that gave the message up, for one that lies on a dead-letter queue.
    pub(crate) given_up_by: Option<String>,
    /// A copy that a fault rule made; it is not copied again.
    pub(crate) repeat: bool,
}

/// A receipt: which message, and which of its receives. Only the newest receive may speak for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) sequence: u64,
    pub(crate) receive: u64,
}

/// A message handed to a consumer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivery {
    pub(crate) receipt: Receipt,
    pub(crate) message: Message,
}

/// Why a visibility timeout can't be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message was deleted.
    Gone,
    /// It is visible again, or someone else has received it since.
    NotInFlight,
    /// It would be in flight for more than twelve hours.
    TooLong,
}

/// How many messages are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) visible: usize,
    pub(crate) in_flight: usize,
    pub(crate) delayed: usize,
}

#[derive(Debug)]
enum Place {
    Visible,
    Delayed(Millis),
    InFlight(Millis),
}

#[derive(Debug)]
struct Entry {
    message: Message,
    place: Place,
    /// The newest receive's number.
    receive: u64,
    received_at: Millis,
}

/// The messages of one queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// All messages by the order in which they came.
    entries: BTreeMap<u64, Entry>,
    /// Those that can be received, oldest first.
    visible: BTreeSet<u64>,
    /// Those that become visible by themselves, soonest first.
    waking: BTreeSet<(Millis, u64)>,
    in_flight: usize,
    next_sequence: u64,
    next_receive: u64,
}

impl Queue {
    /// Puts a message on the queue, to be seen after `delay`.
    pub(crate) fn send(&mut self, message: Message, delay: Millis, now: Millis) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let place = if delay == 0 { Place::Visible } else { Place::Delayed(now + delay) };
        self.entries.insert(sequence, Entry { message, place: Place::Visible, receive: 0, received_at: 0 });
        self.visible.insert(sequence);
        self.place(sequence, place);
    }

    /// Receives up to `most` messages, hidden for `visibility`. Those already received `most_receives` times are given
    /// up instead: they leave this queue and come back second.
    pub(crate) fn receive(
        &mut self,
        most: usize,
        visibility: Millis,
        most_receives: Option<u32>,
        now: Millis,
    ) -> (Vec<Delivery>, Vec<Message>) {
        // Only once: with a visibility of 0 a message is due again at once, and would be handed out again and again.
        self.advance(now);
        let (mut deliveries, mut given_up) = (Vec::new(), Vec::new());
        while deliveries.len() < most
            && let Some(&sequence) = self.visible.first()
        {
            let Some(entry) = self.entries.get_mut(&sequence) else { break };
            if most_receives.is_some_and(|most| entry.message.receives >= most) {
                given_up.extend(self.remove(sequence));
                continue;
            }
            self.next_receive += 1;
            entry.receive = self.next_receive;
            entry.received_at = now;
            entry.message.receives += 1;
            entry.message.first_received_at.get_or_insert(now);
            let receipt = Receipt { sequence, receive: entry.receive };
            deliveries.push(Delivery { receipt, message: entry.message.clone() });
            self.place(sequence, Place::InFlight(now + visibility));
        }
        (deliveries, given_up)
    }

    /// Deletes the message, if the receipt is of its newest receive. As in SQS, deleting a message that is gone succeeds.
    pub(crate) fn delete(&mut self, receipt: Receipt, now: Millis) {
        self.advance(now);
        if self.entries.get(&receipt.sequence).is_some_and(|entry| entry.receive == receipt.receive) {
            self.remove(receipt.sequence);
        }
    }

    /// Sets the visibility timeout of a message in flight to `timeout` from now; 0 makes it visible.
    pub(crate) fn change_visibility(&mut self, receipt: Receipt, timeout: Millis, now: Millis) -> Result<(), Refusal> {
        self.advance(now);
        let entry = self.entries.get(&receipt.sequence).ok_or(Refusal::Gone)?;
        if entry.receive != receipt.receive || !matches!(entry.place, Place::InFlight(_)) {
            return Err(Refusal::NotInFlight);
        }
        if now + timeout > entry.received_at + LONGEST_FLIGHT {
            return Err(Refusal::TooLong);
        }
        let place = if timeout == 0 { Place::Visible } else { Place::InFlight(now + timeout) };
        self.place(receipt.sequence, place);
        Ok(())
    }

    /// Forgets every message.
    pub(crate) fn purge(&mut self) {
        self.entries.clear();
        self.visible.clear();
        self.waking.clear();
        self.in_flight = 0;
    }

    /// Takes every visible message off the queue.
    pub(crate) fn take_visible(&mut self, now: Millis) -> Vec<Message> {
        self.advance(now);
        std::mem::take(&mut self.visible)
            .into_iter()
            .filter_map(|sequence| self.entries.remove(&sequence).map(|entry| entry.message))
            .collect()
    }

    /// Forgets messages sent at or before `oldest`. They lie in the order in which they came, so this stops at the
    /// first that may stay.
    pub(crate) fn expire(&mut self, oldest: Millis) {
        while let Some((&sequence, entry)) = self.entries.first_key_value()
            && entry.message.sent_at <= oldest
        {
            self.remove(sequence);
        }
    }

    /// Every message, wherever it is, in the order in which they came.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.entries.values().map(|entry| &entry.message)
    }

    pub(crate) fn counts(&mut self, now: Millis) -> Counts {
        self.advance(now);
        Counts { visible: self.visible.len(), in_flight: self.in_flight, delayed: self.waking.len() - self.in_flight }
    }

    /// When a message next becomes visible by itself.
    pub(crate) fn next_wake(&self) -> Option<Millis> {
        self.waking.first().map(|&(at, _)| at)
    }

    /// Makes visible what is due.
    fn advance(&mut self, now: Millis) {
        while let Some(&(at, sequence)) = self.waking.first()
            && at <= now
        {
            self.place(sequence, Place::Visible);
        }
    }

    /// Moves a message, keeping the maps in step.
    fn place(&mut self, sequence: u64, place: Place) {
        self.leave(sequence);
        match place {
            Place::Visible => {
                self.visible.insert(sequence);
            }
            Place::Delayed(until) => {
                self.waking.insert((until, sequence));
            }
            Place::InFlight(until) => {
                self.waking.insert((until, sequence));
                self.in_flight += 1;
            }
        }
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.place = place;
        }
    }

    fn leave(&mut self, sequence: u64) {
        match self.entries.get(&sequence).map(|entry| &entry.place) {
            Some(Place::Visible) => {
                self.visible.remove(&sequence);
            }
            Some(&Place::Delayed(until)) => {
                self.waking.remove(&(until, sequence));
            }
            Some(&Place::InFlight(until)) => {
                self.waking.remove(&(until, sequence));
                self.in_flight -= 1;
            }
            None => {}
        }
    }

    fn remove(&mut self, sequence: u64) -> Option<Message> {
        self.leave(sequence);
        self.entries.remove(&sequence).map(|entry| entry.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str, sent_at: Millis) -> Message {
        Message {
            id: body.to_owned(),
            body: body.to_owned(),
            body_md5: String::new(),
            attributes: Map::new(),
            attributes_md5: None,
            sent_at,
            first_received_at: None,
            receives: 0,
            given_up_by: None,
            repeat: false,
        }
    }

    fn bodies(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(|d| d.message.body.as_str()).collect()
    }

    #[test]
    fn a_message_comes_back_to_the_millisecond_when_its_visibility_ends() {
        let mut queue = Queue::default();
        queue.send(message("a", 0), 0, 0);
        let (first, _) = queue.receive(10, 1000, None, 5);
        assert_eq!(bodies(&first), ["a"]);
        assert_eq!(queue.counts(1004), Counts { in_flight: 1, ..Counts::default() });
        assert_eq!(queue.next_wake(), Some(1005));
        assert!(queue.receive(10, 1000, None, 1004).0.is_empty());
        assert_eq!(queue.counts(1005), Counts { visible: 1, ..Counts::default() });
        let (second, _) = queue.receive(10, 1000, None, 1005);
        assert_eq!((second[0].message.receives, second[0].message.first_received_at), (2, Some(5)));

        // The first receipt no longer speaks for the message; the second does.
        queue.delete(first[0].receipt, 1006);
        assert_eq!(queue.change_visibility(first[0].receipt, 9000, 1006), Err(Refusal::NotInFlight));
        assert_eq!(queue.next_wake(), Some(2005));
        queue.change_visibility(second[0].receipt, 3000, 1006).expect("in flight");
        assert_eq!(queue.next_wake(), Some(4006));
        queue.delete(second[0].receipt, 1007);
        assert_eq!(queue.counts(9999), Counts::default());
        assert_eq!(queue.change_visibility(second[0].receipt, 0, 1008), Err(Refusal::Gone));
    }

    #[test]
    fn an_expired_receipt_deletes_until_someone_else_receives() {
        let mut queue = Queue::default();
        queue.send(message("a", 0), 0, 0);
        let (first, _) = queue.receive(1, 10, None, 0);
        assert_eq!(queue.change_visibility(first[0].receipt, 10, 10), Err(Refusal::NotInFlight));
        queue.delete(first[0].receipt, 20);
        assert_eq!(queue.counts(20), Counts::default());
    }

    #[test]
    fn delayed_messages_are_counted_apart_and_released_ones_at_once_visible() {
        let mut queue = Queue::default();
        queue.send(message("late", 0), 50, 0);
        queue.send(message("now", 0), 0, 0);
        assert_eq!(queue.counts(49), Counts { visible: 1, in_flight: 0, delayed: 1 });
        let (got, _) = queue.receive(10, 1000, None, 49);
        assert_eq!(bodies(&got), ["now"]);
        queue.change_visibility(got[0].receipt, 0, 49).expect("in flight");
        assert_eq!(bodies(&queue.receive(10, 1000, None, 50).0), ["late", "now"]);
    }

    #[test]
    fn given_up_after_as_many_receives_as_allowed() {
        let mut queue = Queue::default();
        queue.send(message("poison", 0), 0, 0);
        for now in [0, 10] {
            let (got, given_up) = queue.receive(10, 10, Some(2), now);
            assert_eq!((got.len(), given_up.len()), (1, 0));
        }
        let (got, given_up) = queue.receive(10, 10, Some(2), 20);
        assert!(got.is_empty());
        assert_eq!((given_up[0].body.as_str(), given_up[0].receives), ("poison", 2));
        assert_eq!(queue.counts(20), Counts::default());
    }

    #[test]
    fn a_visibility_of_nothing_hands_each_message_out_once_a_call() {
        let mut queue = Queue::default();
        for body in ["a", "b"] {
            queue.send(message(body, 0), 0, 0);
        }
        assert_eq!(bodies(&queue.receive(10, 0, None, 5).0), ["a", "b"]);
        assert_eq!(queue.counts(5).visible, 2);
    }

    #[test]
    fn old_messages_are_forgotten_wherever_they_are() {
        let mut queue = Queue::default();
        queue.send(message("a", 1), 0, 1);
        queue.send(message("b", 2), 0, 2);
        queue.receive(1, 100, None, 2);
        queue.expire(1);
        assert_eq!(queue.counts(2), Counts { visible: 1, ..Counts::default() });
    }
}
