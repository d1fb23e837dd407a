//! Which commit a program was compiled from.
//!
//! ```
//! println!("from the commit {}", commit::of_sources!());
//! ```
//!
//! A macro and not a build script: what a build script says is an input of its package's library, too, and of all that
//! depends on it, so that each commit would have all of it compiled again. What this macro reads is an input of the one file
//! that it stands in. Put it in a program's `main.rs`, and a commit compiles these few lines and links.

mod checkout;

use std::path::{Path, PathBuf};

use checkout::Checkout;
use proc_macro::TokenStream;

/// The commit of the sources, a `&'static str`: `POLYBOT_COMMIT` in the compiler's environment if that is not empty, else
/// what git has checked out, else `unknown`. Whether files were changed since the commit is not looked at.
#[proc_macro]
pub fn of_sources(_: TokenStream) -> TokenStream {
    let checkout = workspace().map(|root| Checkout::of(&root)).unwrap_or_default();
    let commit = checkout.commit.as_deref().unwrap_or("unknown");
    // Included for nothing else than that the compiler notes them as inputs, as it notes the variable.
    let inputs = checkout.read.iter().filter_map(|path| path.to_str());
    let inputs: String = inputs.map(|path| format!("const _: &[u8] = ::core::include_bytes!({path:?});")).collect();
    let expression = format!(
        r#"{{
            {inputs}
            match ::core::option_env!("POLYBOT_COMMIT") {{
                ::core::option::Option::Some("") | ::core::option::Option::None => {commit:?},
                ::core::option::Option::Some(given) => given,
            }}
        }}"#
    );
    expression.parse().expect("it is an expression")
}

/// The folder of the workspace that is being compiled: the nearest with a lock file.
fn workspace() -> Option<PathBuf> {
    // Asked now and not when this crate is compiled, since another checkout may share the target folder.
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    package.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).map(Path::to_owned)
}
