//! The buttons under a result, and what their press means. A button brings back only what it is; the photo is the one
//! that the result replies to, so any instance can serve it.

use crate::command::{self, Command, TABLE, Wanted};
use crate::telegram::Buttons;
use photo::filters::Filter;

/// How many buttons stand in a row of the menu.
const ROW: usize = 3;
/// What the button for the original file brings back.
const ORIGINAL: &str = "original";
/// What the button for the menu brings back.
const MENU: &str = "menu";
/// What stands before a caption that a button of the menu brings back.
const FILTER: &str = "filter ";

/// What a press asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Press {
    /// The original as a file.
    Original,
    /// The menu of filters.
    Menu,
    /// Another filter on the same photo.
    Filter(Filter),
    /// Find the objects in the same photo.
    Detect(Wanted),
}

/// Under each result.
#[must_use]
pub fn under_result() -> Buttons {
    vec![vec![("Original file".into(), ORIGINAL.into()), ("Another filter…".into(), MENU.into())]]
}

/// In place of them, when another filter is wanted: each filter with its defaults.
#[must_use]
pub fn menu() -> Buttons {
    let is_for_one_photo = |name: &&str| !matches!(command::caption(Some(name)), Ok(Command::Concat(_)) | Err(_));
    let names: Vec<&str> = TABLE.iter().map(|entry| entry.name).filter(is_for_one_photo).collect();
    names
        .chunks(ROW)
        .map(|row| row.iter().map(|name| ((*name).to_owned(), format!("{FILTER}{name}"))).collect())
        .collect()
}

/// What a button's press means; `None` for a button that this version does not know.
#[must_use]
pub fn press(data: &str) -> Option<Press> {
    match data {
        ORIGINAL => Some(Press::Original),
        MENU => Some(Press::Menu),
        _ => match command::caption(Some(data.strip_prefix(FILTER)?)) {
            Ok(Command::Filter(filter)) => Some(Press::Filter(filter)),
            Ok(Command::Detect(wanted)) => Some(Press::Detect(wanted)),
            Ok(Command::Concat(_)) | Err(_) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_button_is_understood_and_small_enough() {
        for (text, data) in under_result().into_iter().chain(menu()).flatten() {
            assert!(press(&data).is_some(), "{text}");
            assert!(data.len() <= 64, "{data}");
        }
        assert!(menu().len() > 2);
        assert_eq!(press("menu"), Some(Press::Menu));
        assert!(matches!(press("filter blur"), Some(Press::Filter(Filter::Blur { level: 16 }))));
        assert_eq!(press("from a newer version"), None);
    }
}
