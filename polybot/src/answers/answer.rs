//! What is said of one request, as far as it is known without asking anybody.

use fleet::{Deed, Prediction, Status};

use crate::place::Place;
use crate::telegram::Buttons;
use crate::{buttons, reply};

/// The finished predictions of one photo, or of one album, to be told as one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// In the order that their photos were sent; one at least.
    pub(crate) parts: Vec<Prediction>,
    /// Whether they were sent as an album; that may be one photo, too.
    pub(crate) is_album: bool,
}

/// A picture that goes with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown<'answer> {
    /// Its key in the bucket.
    pub(crate) key: &'answer str,
    /// Covered until it is tapped, as the photo that it is made of.
    pub(crate) spoiler: bool,
}

impl Answer {
    /// Where it is said: as a reply to the first photo.
    pub(crate) fn place(&self) -> Place {
        let first = self.parts.first();
        Place {
            chat_id: first.map_or(fleet::job::NOBODY, |first| first.chat_id),
            message_id: first.map_or(0, |first| first.message_id),
            thread: first.and_then(|first| first.message_thread_id),
        }
    }

    /// What is said.
    pub(crate) fn words(&self) -> String {
        match self.parts.as_slice() {
            [photo] if !self.is_album => reply::answer(photo),
            parts => reply::album_answer(parts),
        }
    }

    /// What is shown, in order.
    pub(crate) fn pictures(&self) -> Vec<Shown<'_>> {
        self.parts.iter().filter_map(picture_of).collect()
    }

    /// What can be pressed under it. Telegram has no buttons under albums.
    pub(crate) fn buttons(&self) -> Buttons {
        if self.is_album { Buttons::new() } else { buttons::under_result() }
    }
}

/// The picture of a prediction, if it has one worth showing: not where only the number is asked for, nor where there was nothing to
/// blur or cut out.
fn picture_of(prediction: &Prediction) -> Option<Shown<'_>> {
    let is_worth_it = match prediction.wish.deed {
        Deed::Mark => true,
        Deed::Count => false,
        Deed::Blur { .. } | Deed::Crop => !prediction.labels.is_empty(),
    };
    let key = prediction.predicted_img_path.as_deref();
    let key = key.filter(|_| prediction.status == Status::Done && is_worth_it)?;
    Some(Shown { key, spoiler: prediction.spoiler })
}

#[cfg(test)]
mod tests {
    use fleet::{Label, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn done(message_id: i32) -> Prediction {
        let bus = Label { class: "bus".into(), cx: 0.5, cy: 0.5, width: 1.0, height: 1.0, confidence: 0.9 };
        Prediction {
            status: Status::Done,
            labels: vec![bus],
            predicted_img_path: Some(format!("{message_id}.jpg")),
            message_thread_id: Some(12),
            ..Prediction::queued(Uuid::nil(), 7, message_id, "k".into(), Timestamp::from_secs(0))
        }
    }

    fn failed(message_id: i32) -> Prediction {
        let record = Prediction::queued(Uuid::nil(), 7, message_id, "k".into(), Timestamp::from_secs(0));
        Prediction { status: Status::Failed, failure: Some("it is no image".into()), ..record }
    }

    fn keys(answer: &Answer) -> Vec<&str> {
        answer.pictures().iter().map(|shown| shown.key).collect()
    }

    #[test]
    fn a_photo_is_answered_with_its_picture_and_buttons() {
        let answer = Answer { parts: vec![done(3)], is_album: false };
        assert_eq!(answer.words(), "I see 1 bus.");
        assert_eq!(answer.place(), Place { chat_id: 7, message_id: 3, thread: Some(12) });
        assert_eq!(answer.pictures(), [Shown { key: "3.jpg", spoiler: false }]);
        assert!(!answer.buttons().is_empty());
    }

    #[test]
    fn an_album_is_answered_as_one_in_the_order_that_it_was_sent() {
        let spoiler = Prediction { spoiler: true, ..done(5) };
        let answer = Answer { parts: vec![done(3), failed(4), spoiler], is_album: true };
        let sorry = reply::failed("it is no image");
        assert_eq!(answer.words(), format!("1. I see 1 bus.\n2. {sorry}\n3. I see 1 bus."));
        assert_eq!(answer.place().message_id, 3);
        assert_eq!(keys(&answer), ["3.jpg", "5.jpg"]);
        assert_eq!(answer.pictures().iter().map(|shown| shown.spoiler).collect::<Vec<_>>(), [false, true]);
        assert!(answer.buttons().is_empty());
        let of_one = Answer { parts: vec![done(3)], is_album: true };
        assert_eq!((of_one.words().as_str(), of_one.buttons().is_empty()), ("1. I see 1 bus.", true));
    }

    #[test]
    fn only_pictures_worth_showing_are() {
        let shown = |deed, labels: bool| {
            let mut prediction = done(3);
            prediction.wish.deed = deed;
            if !labels {
                prediction.labels.clear();
            }
            !keys(&Answer { parts: vec![prediction], is_album: false }).is_empty()
        };
        assert!(shown(Deed::Mark, true) && shown(Deed::Mark, false));
        assert!(!shown(Deed::Count, true));
        assert!(shown(Deed::Crop, true) && !shown(Deed::Crop, false));
        assert!(shown(Deed::Blur { block: None }, true) && !shown(Deed::Blur { block: None }, false));
        assert!(keys(&Answer { parts: vec![failed(3)], is_album: false }).is_empty());
    }
}
