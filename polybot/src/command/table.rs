//! Every command there is.

use super::argument::{Argument, Kind, Word};
use super::caption_error::CaptionError;
use super::classes::Classes;
use super::entry::Entry;
use super::given::Given;
use super::{Command, Deed, LEAST_PERCENT, Wanted};
use photo::filters::{Concat, Direction, Filter, Turn};

const fn word(word: &'static str, aliases: &'static [&'static str]) -> Word {
    Word { word, aliases }
}

/// How sure the detector has to be.
const PERCENT: Argument = Argument {
    name: "percent",
    kind: Kind::Whole { from: LEAST_PERCENT as u32, to: 100, default: LEAST_PERCENT as u32 },
};
/// What to look for.
const CLASSES: Argument = Argument { name: "things", kind: Kind::Classes };
/// All that is found, marked.
const USUAL: Wanted = Wanted { confidences: false, percent: LEAST_PERCENT, classes: Classes::NONE, deed: Deed::Mark };

/// Every command. Hyphens and spaces in names may be left out, or be written as one another.
pub const TABLE: &[Entry] = &[
    Entry {
        name: "predict",
        aliases: &["detect"],
        arguments: &[Argument { name: "confidence", kind: Kind::Flag { aliases: &["confidences"] } }, PERCENT, CLASSES],
        description: "Find the objects in the photo, if you like only some, or only those I am so sure of, and with how sure \
                      I am of each. The same as no caption.",
        example: ("predict with confidence", Command::Detect(Wanted { confidences: true, ..USUAL })),
        command: |given| {
            let (percent, classes) = (given.whole(1) as u8, given.classes(2));
            Ok(Command::Detect(Wanted { confidences: given.flag(0), percent, classes, deed: Deed::Mark }))
        },
    },
    Entry {
        name: "count",
        aliases: &[],
        arguments: &[PERCENT, CLASSES],
        description: "Say how many there are of each object, without a picture.",
        example: ("count", Command::Detect(Wanted { deed: Deed::Count, ..USUAL })),
        command: |given| {
            let (percent, classes) = (given.whole(0) as u8, given.classes(1));
            Ok(Command::Detect(Wanted { percent, classes, deed: Deed::Count, ..USUAL }))
        },
    },
    Entry {
        name: "blur",
        aliases: &[],
        arguments: &[Argument { name: "level", kind: Kind::Whole { from: 1, to: 100, default: 16 } }, CLASSES],
        description: "Blur the photo; or only what you name in it, as in \"blur person\", so that it can't be recognised.",
        example: ("blur 30", Command::Filter(Filter::Blur { level: 30 })),
        command: |given| {
            let classes = given.classes(1);
            if classes.is_empty() {
                return Ok(Command::Filter(Filter::Blur { level: given.whole(0) }));
            }
            let deed = Deed::Blur { block: given.whole_if_given(0) };
            Ok(Command::Detect(Wanted { classes, deed, ..USUAL }))
        },
    },
    Entry {
        name: "crop",
        aliases: &["cut out"],
        arguments: &[CLASSES],
        description: "Cut the photo down to the objects in it, or to what you name, as in \"crop dog\".",
        example: ("crop", Command::Detect(Wanted { deed: Deed::Crop, ..USUAL })),
        command: |given| Ok(Command::Detect(Wanted { classes: given.classes(0), deed: Deed::Crop, ..USUAL })),
    },
    Entry {
        name: "contour",
        aliases: &[],
        arguments: &[],
        description: "Show where neighbouring points differ.",
        example: ("contour", Command::Filter(Filter::Contour)),
        command: |_| Ok(Command::Filter(Filter::Contour)),
    },
    Entry {
        name: "rotate",
        aliases: &[],
        arguments: &[
            Argument {
                name: "direction",
                kind: Kind::Choice {
                    options: &[word("clockwise", &[]), word("anti-clockwise", &["counter-clockwise"])],
                    default: "clockwise",
                },
            },
            Argument {
                name: "number of degrees",
                kind: Kind::Choice { options: &[word("90", &[]), word("180", &[]), word("270", &[])], default: "90" },
            },
        ],
        description: "Turn the photo.",
        example: (
            "rotate anti-clockwise 90",
            Command::Filter(Filter::Rotate { direction: Direction::AntiClockwise, turn: Turn::Quarter }),
        ),
        command: |given| {
            let direction = match given.choice(0) {
                "clockwise" => Direction::Clockwise,
                _ => Direction::AntiClockwise,
            };
            let turn = match given.choice(1) {
                "90" => Turn::Quarter,
                "180" => Turn::Half,
                _ => Turn::ThreeQuarters,
            };
            Ok(Command::Filter(Filter::Rotate { direction, turn }))
        },
    },
    Entry {
        name: "salt and pepper",
        aliases: &["salt pepper", "salt n pepper"],
        arguments: &[Argument { name: "level", kind: Kind::Fraction { from: 0, to: 1, default: 0.05 } }],
        description: "Strew white and black grains over the photo; level is their share.",
        example: ("salt and pepper 0.1", Command::Filter(Filter::SaltAndPepper { level: 0.1 })),
        command: |given| Ok(Command::Filter(Filter::SaltAndPepper { level: given.fraction(0) })),
    },
    Entry {
        name: "segment",
        aliases: &[],
        arguments: &[],
        description: "Make light parts white and dark parts black.",
        example: ("segment", Command::Filter(Filter::Segment)),
        command: |_| Ok(Command::Filter(Filter::Segment)),
    },
    Entry {
        name: "concat",
        aliases: &["concatenate"],
        arguments: &[
            Argument {
                name: "direction",
                kind: Kind::Choice {
                    options: &[word("horizontal", &["horizontally"]), word("vertical", &["vertically"])],
                    default: "horizontal",
                },
            },
            Argument {
                name: "order",
                kind: Kind::Choice {
                    options: &[
                        word("left-to-right", &[]),
                        word("right-to-left", &[]),
                        word("top-to-bottom", &[]),
                        word("bottom-to-top", &[]),
                    ],
                    default: "left-to-right, or top-to-bottom if vertical",
                },
            },
        ],
        description: "Join the 2 to 10 photos of an album.",
        example: ("concat vertical bottom-to-top", Command::Concat(Concat::BottomToTop)),
        command: concat,
    },
    Entry {
        name: "grayscale",
        aliases: &["greyscale", "gray", "grey"],
        arguments: &[],
        description: "Take the colours away.",
        example: ("grayscale", Command::Filter(Filter::Grayscale)),
        command: |_| Ok(Command::Filter(Filter::Grayscale)),
    },
    Entry {
        name: "sharpen",
        aliases: &[],
        arguments: &[],
        description: "Make the photo crisper.",
        example: ("sharpen", Command::Filter(Filter::Sharpen)),
        command: |_| Ok(Command::Filter(Filter::Sharpen)),
    },
    Entry {
        name: "edges",
        aliases: &["edge", "canny"],
        arguments: &[],
        description: "Draw the outlines in white on black.",
        example: ("edges", Command::Filter(Filter::Edges)),
        command: |_| Ok(Command::Filter(Filter::Edges)),
    },
    Entry {
        name: "invert",
        aliases: &["negative"],
        arguments: &[],
        description: "Make a negative.",
        example: ("invert", Command::Filter(Filter::Invert)),
        command: |_| Ok(Command::Filter(Filter::Invert)),
    },
    Entry {
        name: "median",
        aliases: &[],
        arguments: &[Argument { name: "radius", kind: Kind::Whole { from: 1, to: 10, default: 2 } }],
        description: "Take grains away and keep the outlines.",
        example: ("median 3", Command::Filter(Filter::Median { radius: 3 })),
        command: |given| Ok(Command::Filter(Filter::Median { radius: given.whole(0) })),
    },
];

/// The order says the direction too; where both are given they have to agree.
fn concat(given: &Given) -> Result<Command, CaptionError> {
    let vertical = given.chosen(0).map(|direction| direction == "vertical");
    let (order, is_vertical) = match (given.chosen(1), vertical) {
        (Some("left-to-right"), _) | (None, Some(false) | None) => (Concat::LeftToRight, false),
        (Some("right-to-left"), _) => (Concat::RightToLeft, false),
        (Some("top-to-bottom"), _) | (None, Some(true)) => (Concat::TopToBottom, true),
        (Some(_), _) => (Concat::BottomToTop, true),
    };
    match (vertical, given.chosen(1)) {
        (Some(false), Some(given)) if is_vertical => Err(CaptionError::Contradiction {
            direction: "horizontal",
            orders: "left-to-right or right-to-left",
            given,
        }),
        (Some(true), Some(given)) if !is_vertical => {
            Err(CaptionError::Contradiction { direction: "vertical", orders: "top-to-bottom or bottom-to-top", given })
        }
        _ => Ok(Command::Concat(order)),
    }
}
