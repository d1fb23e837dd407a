//! The bot's own account.

/// The bot's own account.
#[derive(Clone, Debug, Default)]
pub struct Me {
    /// Its id.
    pub id: i64,
    /// Its name, without `@`.
    pub name: String,
    /// Whether groups show it messages that do not speak to it: not in BotFather's privacy mode.
    pub reads_groups: bool,
}
