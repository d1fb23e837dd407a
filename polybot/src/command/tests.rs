//! What the grammar takes, and what it says about the rest.

use std::path::Path;

use super::*;
use crate::reply;

const DETECT: Command =
    Command::Detect(Wanted { confidences: false, percent: LEAST_PERCENT, classes: Classes::NONE, deed: Deed::Mark });

fn things(names: &[&str]) -> Classes {
    let named = names.iter().map(|name| Classes::named(name).expect("a thing"));
    named.fold(Classes::NONE, Classes::and)
}

fn blur(level: u32) -> Command {
    Command::Filter(Filter::Blur { level })
}

fn rotate(direction: Direction, turn: Turn) -> Command {
    Command::Filter(Filter::Rotate { direction, turn })
}

fn grains(level: f32) -> Command {
    Command::Filter(Filter::SaltAndPepper { level })
}

#[track_caller]
fn means(texts: &[&str], command: Command) {
    for text in texts {
        assert_eq!(caption(Some(text)), Ok(command), "{text}");
    }
}

#[track_caller]
fn refused(text: &str, sentence: &str) {
    assert_eq!(reply::caption_error(&caption(Some(text)).expect_err(text)), sentence, "{text}");
}

#[test]
fn captions_that_mean_detection() {
    assert_eq!(caption(None), Ok(DETECT));
    means(&["", "  \n", "predict", "PREDICT", " Predict \n", "detect", "/predict", "/detect@a_bot", "@a_bot"], DETECT);
    let confidences = Command::Detect(Wanted { confidences: true, ..Wanted::default() });
    means(
        &["predict confidence", "Predict with confidence!", "confidences predict", "confidence predict confidence"],
        confidences,
    );
}

#[test]
fn less_can_be_asked_for() {
    let wanted = |classes: &[&str], percent, deed| {
        Command::Detect(Wanted { classes: things(classes), percent, deed, ..Wanted::default() })
    };
    means(
        &["predict person dog", "predict dogs and persons", "/predict only the people and dog!", "predict dog, person"],
        wanted(&["person", "dog"], LEAST_PERCENT, Deed::Mark),
    );
    means(&["predict 60%", "predict 60", "60 % predict", "predict 60 percent"], wanted(&[], 60, Deed::Mark));
    means(&["predict cell phones 60%"], wanted(&["cellphone"], 60, Deed::Mark));
    means(&["count"], wanted(&[], LEAST_PERCENT, Deed::Count));
    means(&["count people", "/count persons"], wanted(&["person"], LEAST_PERCENT, Deed::Count));
    means(&["blur person", "blur all people", "/blur person"], wanted(&["person"], 25, Deed::Blur { block: None }));
    means(&["blur cars 40", "blur 40 cars"], wanted(&["car"], 25, Deed::Blur { block: Some(40) }));
    means(&["crop dog", "cut out the dog"], wanted(&["dog"], 25, Deed::Crop));
    means(&["crop"], wanted(&[], 25, Deed::Crop));
    refused("predict 10%", "The percent of \"predict\" goes from 25 to 100; 10 is outside.");
    refused(
        "predict unicorns",
        "\"predict\" can be followed by \"confidence\", a number from 25 to 100 or names of things such as person, car or \
         dog, not by \"unicorns\".",
    );
    // What no model finds, but something like it.
    refused("blur faces", "I can't find \"faces\" in a photo. Did you mean \"blur person\"?");
    refused("blur all the number plates!", "I can't find \"number plates\" in a photo. Did you mean \"blur car\"?");
    refused("predict dogs and women", "I can't find \"women\" in a photo. Did you mean \"predict person\"?");
    refused("crop persn", "I can't find \"persn\" in a photo. Did you mean \"crop person\"?");
    refused(
        "blur hats",
        "\"blur\" can be followed by a number from 1 to 100 or names of things such as person, car or dog, not by \
         \"hats\".",
    );
}

#[test]
fn numbers_have_ranges_and_defaults() {
    means(
        &["blur", "/blur", "Blur  16", "blur16", "16 blur", "blur 16.0", "blur level 16", "blur: 16", "BLUR +16"],
        blur(16),
    );
    means(&["blur 1"], blur(1));
    means(&["blur 100", "blur 1e2"], blur(100));
    means(&["median"], Command::Filter(Filter::Median { radius: 2 }));
    means(&["median 10"], Command::Filter(Filter::Median { radius: 10 }));
    means(&["salt and pepper 0", "salt and pepper -0"], grains(0.0));
    means(&["salt and pepper 1", "1.0 salt and pepper"], grains(1.0));
    means(&["salt and pepper 0.12344", "salt and pepper 12341e-5"], grains(0.1234));
}

#[test]
fn names_of_several_words_can_be_joined_in_any_way() {
    means(
        &[
            "salt and pepper",
            "Salt & Pepper",
            "salt&pepper",
            "salt-and-pepper",
            "salt_and_pepper",
            "saltandpepper",
            "/salt_and_pepper@a_bot",
            "salt pepper 0.05",
            "salt and pepper 0,05",
            "0.05 salt n pepper",
            "salt and pepper .05",
        ],
        grains(0.05),
    );
    means(&["gray scale", "greyscale", "gray", "grey-scale"], Command::Filter(Filter::Grayscale));
}

#[test]
fn turns() {
    use Direction::{AntiClockwise, Clockwise};
    means(
        &["rotate", "rotate 90", "rotate clockwise", "rotate 90° clockwise", "/rotate clockwise 90"],
        rotate(Clockwise, Turn::Quarter),
    );
    means(
        &[
            "rotate anti-clockwise",
            "90 rotate anti clockwise",
            "rotate anticlockwise 90 degrees",
            "counter-clockwise rotate",
            "rotate by 90 counterclockwise",
            "Rotate Counter Clockwise",
        ],
        rotate(AntiClockwise, Turn::Quarter),
    );
    means(&["rotate 180"], rotate(Clockwise, Turn::Half));
    means(
        &["rotate anti-clockwise 270", "270 anticlockwise rotate", "rotate-270-anti-clockwise"],
        rotate(AntiClockwise, Turn::ThreeQuarters),
    );
}

#[test]
fn sides_imply_the_direction() {
    let order = |order| Command::Concat(order);
    means(&["concat", "concat horizontal", "concat left-to-right", "left to right concat"], order(Concat::LeftToRight));
    means(
        &["concat right-to-left", "concat from right to left", "Concat RIGHT_TO_LEFT horizontal"],
        order(Concat::RightToLeft),
    );
    means(&["concat vertical", "concat top to bottom", "vertical top-to-bottom concat"], order(Concat::TopToBottom));
    means(&["concat bottom-to-top", "concat vertical bottom to top"], order(Concat::BottomToTop));
    refused(
        "concat vertical left-to-right",
        "\"concat vertical\" goes top-to-bottom or bottom-to-top, not left-to-right.",
    );
    refused(
        "concat bottom to top horizontal",
        "\"concat horizontal\" goes left-to-right or right-to-left, not bottom-to-top.",
    );
}

#[test]
fn what_is_out_of_range_or_no_number() {
    refused("blur 0", "The level of \"blur\" goes from 1 to 100; 0 is outside.");
    refused("blur 101", "The level of \"blur\" goes from 1 to 100; 101 is outside.");
    refused("blur -5", "The level of \"blur\" goes from 1 to 100; -5 is outside.");
    refused("blur 1e999", "The level of \"blur\" goes from 1 to 100; 1e999 is outside.");
    refused("median 11", "The radius of \"median\" goes from 1 to 10; 11 is outside.");
    refused("salt and pepper 1.5", "The level of \"salt and pepper\" goes from 0 to 1; 1.5 is outside.");
    refused("blur 16.5", "The level of \"blur\" is a whole number from 1 to 100, not \"16.5\".");
    refused("blur 1,000", "The level of \"blur\" is a whole number from 1 to 100, not \"1,000\".");
    refused("median lots", "The radius of \"median\" is a whole number from 1 to 10, not \"lots\".");
    refused("median NaN", "The radius of \"median\" is a whole number from 1 to 10, not \"nan\".");
    refused("salt and pepper infinity", "The level of \"salt and pepper\" is a number from 0 to 1, not \"infinity\".");
    refused("salt and pepper 1.2.3", "The level of \"salt and pepper\" is a number from 0 to 1, not \"1.2.3\".");
}

#[test]
fn what_is_too_much() {
    refused("blur 5 7", "\"blur\" takes one level, and you gave two: \"5\" and \"7\".");
    refused("blur 5 5", "\"blur\" takes one level, and you gave two: \"5\" and \"5\".");
    refused(
        "rotate clockwise anti clockwise",
        "\"rotate\" takes one direction, and you gave two: \"clockwise\" and \"anti clockwise\".",
    );
    refused("rotate 90 180", "\"rotate\" takes one number of degrees, and you gave two: \"90\" and \"180\".");
    refused(
        "concat left to right right to left",
        "\"concat\" takes one order, and you gave two: \"left to right\" and \"right to left\".",
    );
    refused("contour 5", "\"contour\" is written by itself; I do not understand \"5\" beside it.");
    refused("blur and rotate", "I can do one thing at a time: \"blur\" or \"rotate\", not both.");
    refused("rotate 45", "\"rotate\" can be followed by clockwise, anti-clockwise, 90, 180 or 270, not by \"45\".");
    refused("rotate fast", "\"rotate\" can be followed by clockwise, anti-clockwise, 90, 180 or 270, not by \"fast\".");
}

#[test]
fn what_is_no_command() {
    refused(" Predikt ", "I do not know what to do with \"Predikt\". Did you mean \"predict\"?");
    refused("blurr 5", "I do not know what to do with \"blurr 5\". Did you mean \"blur\"?");
    refused("sal and peper", "I do not know what to do with \"sal and peper\". Did you mean \"salt and pepper\"?");
    refused("greyscal", "I do not know what to do with \"greyscal\". Did you mean \"grayscale\"?");
    let list = "predict, count, blur, crop, contour, rotate, salt and pepper, segment, concat, grayscale, sharpen, edges, invert, median";
    for text in ["my holiday", "🙂", "...", "90", "/"] {
        refused(text, &format!("I do not know what to do with \"{text}\". I know these captions: {list}."));
    }
    let long = reply::caption_error(&caption(Some(&"ä".repeat(100_000))).expect_err("no command"));
    assert!(long.chars().count() < 500);
}

#[test]
fn texts_that_ask_for_help() {
    for asked in ["/start", "/help", "Hello", " HELP ", "start", "hello!", "/help@polybot", "/start from_a_link"] {
        assert_eq!(text(asked), Text::Help, "{asked}");
    }
    assert_eq!(text("/privacy"), Text::Privacy);
    assert_eq!(text("/forget@polybot"), Text::Forget);
    assert_eq!(text("forget"), Text::Other("forget".into()), "what can't be undone needs its slash");
    assert_eq!(text(" good morning "), Text::Other("good morning".into()));
    assert_eq!(text("start the engine"), Text::Other("start the engine".into()));
    assert_eq!(text(""), Text::Other(String::new()));
}

#[test]
fn examples_and_names_mean_what_the_table_says() {
    for entry in TABLE {
        let (example, command) = entry.example;
        means(&[example, &example.to_uppercase(), &format!("/{example}")], command);
        let bare = caption(Some(entry.name)).expect("arguments can be left out");
        for name in entry.names() {
            means(&[name], bare);
        }
        for argument in entry.arguments {
            match argument.kind {
                Kind::Choice { options, .. } => {
                    for option in options {
                        let chosen =
                            caption(Some(&format!("{} {}", entry.name, option.word))).expect("it can be chosen");
                        for alias in option.aliases {
                            means(&[&format!("{alias} {}", entry.name)], chosen);
                        }
                    }
                }
                Kind::Whole { from, to, default } => {
                    assert!((from..=to).contains(&default));
                    means(&[&format!("{} {default}", entry.name)], bare);
                }
                Kind::Fraction { from, to, default } => {
                    assert!((from as f32..=to as f32).contains(&default));
                    means(&[&format!("{} {default}", entry.name)], bare);
                }
                Kind::Flag { .. } | Kind::Classes => {}
            }
        }
    }
    means(&["rotate clockwise 90"], caption(Some("rotate")).expect("a command"));
}

#[test]
fn telegram_takes_the_menu() {
    let menu = menu();
    assert_eq!(menu[0].0, "start");
    assert_eq!(menu[1].0, "help");
    assert_eq!(menu.len(), 4 + TABLE.len());
    for (name, description) in &menu {
        assert!((1..=32).contains(&name.len()));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
        assert!((1..=256).contains(&description.chars().count()));
    }
    for (name, _) in &menu[4..] {
        assert!(caption(Some(&format!("/{name}@a_bot"))).is_ok(), "{name}");
    }
}

#[test]
fn commands_written_back_are_the_same() {
    let deeds = [Deed::Mark, Deed::Count, Deed::Blur { block: None }, Deed::Blur { block: Some(9) }, Deed::Crop];
    let classes = things(&["person", "cellphone", "teddybear"]);
    let mut commands = vec![DETECT, Command::Detect(Wanted { confidences: true, percent: 61, ..Wanted::default() })];
    commands.extend(deeds.map(|deed| Command::Detect(Wanted { classes, deed, ..Wanted::default() })));
    commands.extend((1..=100).map(blur));
    commands.extend((1..=10).map(|radius| Command::Filter(Filter::Median { radius })));
    for direction in [Direction::Clockwise, Direction::AntiClockwise] {
        commands.extend([Turn::Quarter, Turn::Half, Turn::ThreeQuarters].map(|turn| rotate(direction, turn)));
    }
    let orders = [Concat::LeftToRight, Concat::RightToLeft, Concat::TopToBottom, Concat::BottomToTop];
    commands.extend(orders.map(Command::Concat));
    commands.extend((0..=10_000).map(|level| grains((f64::from(level) / 10_000.0) as f32)));
    commands.extend(TABLE.iter().map(|entry| entry.example.1));
    for command in commands {
        means(&[&command.to_string()], command);
        // Telegram takes 64 bytes with a button.
        assert!(command.to_string().len() <= 60, "{command}");
    }
}

#[test]
fn any_text_is_a_command_or_a_sentence() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut bits: Vec<&str> = TABLE.iter().flat_map(Entry::names).collect();
    bits.extend(["person", "cell", "phones", "dog", "hot", "60%", "and"]);
    bits.extend(["clockwise", "anti", "left", "to", "right", "top-to-bottom", "vertical", "horizontal", "confidence"]);
    bits.extend([
        "90", "0", "-1", "1e999", "-1e-999", "NaN", "inf", "0,5", ".", ",", "-", "--5", "1.2.3", "½", "٣", "٣.٥",
    ]);
    bits.extend([
        " ",
        "\n",
        "/",
        "@",
        "@bot",
        "&",
        "_",
        "°",
        "%",
        "\"",
        "[",
        "\u{0}",
        "\u{301}",
        "\u{202e}",
        "İ",
        "ß",
        "👩‍👩‍👧",
        "−",
    ]);
    let check = |text: &str| {
        match caption(Some(text)) {
            Ok(command) => assert_eq!(caption(Some(&command.to_string())), Ok(command), "{text:?}"),
            Err(error) => {
                let sentence = reply::caption_error(&error);
                assert!(sentence.ends_with(['.', '?']) && sentence.chars().count() < 1000, "{sentence}");
            }
        }
        let _ = super::text(text);
    };
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..random.usize(0..7) {
            if random.u8(0..8) == 0 {
                text.extend((0..random.usize(0..5)).map(|_| random.char(..)));
            } else {
                text.push_str(random.choice(&bits).expect("there are some"));
            }
            if random.bool() {
                text.push(' ');
            }
        }
        check(&text);
    }
    for bit in bits {
        check(&bit.repeat(2000));
        check(&format!("{bit} ").repeat(2000));
        check(&format!("blur {}", bit.repeat(500)));
    }
    check(&format!("blur {}", "9".repeat(100_000)));
    check(&format!("salt and pepper 0.{}", "9".repeat(100_000)));
}

/// The table in the documentation is this one. `UPDATE=1 cargo test -p polybot` writes it.
#[test]
fn the_documentation_has_this_table() {
    const FROM: &str = "<!-- made from polybot/src/command/table.rs; UPDATE=1 cargo test -p polybot writes it -->\n";
    const TO: &str = "<!-- end of what is made -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONVERSATION.md");
    let document = std::fs::read_to_string(&path).expect("docs/CONVERSATION.md is there");
    let (before, rest) = document.split_once(FROM).expect("the table's first line is there");
    let (table, after) = rest.split_once(TO).expect("the table's last line is there");
    let expected = format!("\n{}\n", markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{FROM}{expected}{TO}{after}"))
            .expect("docs/CONVERSATION.md can be written");
    } else {
        assert!(table == expected, "docs/CONVERSATION.md is out of date; UPDATE=1 cargo test -p polybot writes it");
    }
}
