//! No warning without the id of what it is about, on the line or in a span around it: true of every line that a service logs in
//! these tests.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Mutex, Once, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Each names something that can be looked for.
const IDS: [&str; 12] = [
    "update_id",
    "prediction_id",
    "chat_id",
    "message_id",
    "album",
    "answer",
    "instance_id",
    "group",
    "queue",
    "url",
    "stretch",
    "model",
];
/// Lines about the service itself, and about what has no id.
const ABOUT_NO_ONE_THING: [&str; 12] = [
    "requests were cut off",
    "can't accept a connection",
    "stopped at",
    "the sweep can't look for",
    "the sweep can't read",
    "an update is not JSON",
    "can't get updates from Telegram",
    "Telegram delivered something that is not an update",
    "DEAD_LETTER_QUEUE_URL is not set",
    "not ready: Telegram failed",
    "the drain timeout is over",
    "this worker's report was not stored",
];
const SERVICES: [&str; 4] = ["fleet", "polybot", "yolo_worker", "metric_streamer"];

/// Lines without an id, each once.
type Lines = Mutex<BTreeSet<String>>;

static NAMELESS: Lines = Mutex::new(BTreeSet::new());

/// Look at all that is logged from now on.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let shown = std::env::var_os("RUST_LOG").map(|_| {
            let chosen = tracing_subscriber::EnvFilter::from_default_env();
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_filter(chosen)
        });
        tracing_subscriber::registry().with(Watch(&NAMELESS).with_filter(LevelFilter::INFO)).with(shown).init();
    });
}

/// Fails if a warning was logged without an id.
pub(crate) fn are_logged() {
    let nameless = NAMELESS.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(nameless.is_empty(), "these lines do not say what they are about: {nameless:#?}");
}

/// Looks at each line; those without an id go there.
struct Watch(&'static Lines);

/// Whether a span has an id.
struct Named;

#[derive(Default)]
struct Fields {
    has_id: bool,
    message: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.has_id |= IDS.contains(&field.name());
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Watch {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id).filter(|_| fields.has_id) {
            span.extensions_mut().replace(Named);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = context.span(id).filter(|_| fields.has_id) {
            span.extensions_mut().replace(Named);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let is_ours = SERVICES.contains(&metadata.target().split("::").next().unwrap_or_default());
        if !is_ours || *metadata.level() > Level::WARN {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let is_in_named =
            |span: tracing_subscriber::registry::SpanRef<'_, S>| span.extensions().get::<Named>().is_some();
        let has_id = fields.has_id || context.event_scope(event).is_some_and(|mut spans| spans.any(is_in_named));
        if !has_id && !ABOUT_NO_ONE_THING.iter().any(|line| fields.message.starts_with(line)) {
            let line = format!("{}: {}", metadata.target(), fields.message);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(line);
        }
    }
}

#[test]
fn a_line_without_an_id_is_found() {
    static FOUND: Lines = Mutex::new(BTreeSet::new());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(Watch(&FOUND)), || {
        tracing::warn!(target: "polybot::test", update_id = 5, "named on the line");
        let span = tracing::info_span!(target: "polybot::test", "about", chat_id = tracing::field::Empty);
        span.in_scope(|| tracing::warn!(target: "polybot::test", "before its span was named"));
        span.record("chat_id", 7);
        span.in_scope(|| tracing::warn!(target: "polybot::test", "named by its span"));
        tracing::warn!(target: "polybot::test", "the sweep can't look for anything");
        tracing::info!(target: "polybot::test", "no warning");
        tracing::warn!(target: "hyper::test", "not ours");
        tracing::warn!(target: "polybot::test", "nameless");
    });
    let found: Vec<_> = FOUND.lock().expect("no panic").iter().cloned().collect();
    assert_eq!(found, ["polybot::test: before its span was named", "polybot::test: nameless"]);
}
