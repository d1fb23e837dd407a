//! telegram-sandbox
