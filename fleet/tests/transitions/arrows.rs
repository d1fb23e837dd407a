//! Where transitions lead.

use fleet::table::Transition;

/// From, to, and the transition that leads there.
pub(crate) type Arrow = (String, String, &'static str);

/// Where transitions lead, each arrow once, and those that change no state.
pub(crate) fn arrows<T: Transition>(transitions: &[T], absent: T::State) -> (Vec<Arrow>, Vec<&'static str>) {
    let named = |state: T::State| if state == absent { "[*]".to_owned() } else { format!("{state:?}") };
    let (mut arrows, mut notes) = (Vec::<Arrow>::new(), Vec::new());
    for transition in transitions {
        if transition.is_note() {
            notes.push(transition.name());
            continue;
        }
        for (from, to) in transition.moves() {
            let arrow = (named(from), named(to), transition.name());
            if !arrows.contains(&arrow) {
                arrows.push(arrow);
            }
        }
    }
    (arrows, notes)
}
