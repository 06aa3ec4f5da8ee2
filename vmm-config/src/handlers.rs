//! The names of the user's own exit handlers: the `pub fn`s of `boot/src/handlers.rs`.

use std::path::Path;

/// The handlers that a policy may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handlers {
    /// These, in the order of the file.
    Known(Vec<String>),
    /// The file was not given, or does not parse; the compiler says what is wrong with it.
    Unknown,
}

impl Handlers {
    /// The handlers in a file.
    pub fn of_file(path: &Path) -> Handlers {
        std::fs::read_to_string(path).map_or(Handlers::Unknown, |text| Handlers::of_text(&text))
    }

    /// The handlers in a Rust source text.
    pub fn of_text(text: &str) -> Handlers {
        let Ok(file) = syn::parse_file(text) else {
            return Handlers::Unknown;
        };
        let names = file.items.into_iter().filter_map(|item| match item {
            syn::Item::Fn(function) if matches!(function.vis, syn::Visibility::Public(_)) => {
                Some(function.sig.ident.to_string())
            }
            _ => None,
        });
        Handlers::Known(names.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_the_public_functions() {
        let text = "pub fn quiet() {} fn helper() {} pub(crate) fn inner() {} pub struct S;";
        assert_eq!(
            Handlers::of_text(text),
            Handlers::Known(vec!["quiet".to_owned()])
        );
    }

    #[test]
    fn a_file_that_does_not_parse_is_the_compilers_business() {
        assert_eq!(Handlers::of_text("pub fn ("), Handlers::Unknown);
    }
}
