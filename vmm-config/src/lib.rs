//! A Tollgate policy as data: read, resolve, check, lower.
//!
//! [`load`] takes the file through four steps, each a module:
//!
//! 1. *read*: the text becomes a [`written::Document`] in which every value knows its place;
//! 2. *resolve*: sets with `extends` become one answer per exit for each VM;
//! 3. *check*: every rule of [`rules::RULES`] looks at the whole, none stops the others;
//! 4. *lower*: plain data remains ([`Lowered`]): VMCB fields, a handler per exit, port and MSR
//!    rules, devices, routes.
//!
//! The proc-macro, the tools and the documentation all start from [`Lowered`]. Which exits,
//! actions and features exist is the business of [`intercepts`]; Rust tokens are the macro's.

pub mod expand;
pub mod finding;
pub mod handlers;
pub mod limits;
pub mod lowered;
pub mod machine;
pub mod ports;
pub mod rules;
#[cfg(feature = "schema")]
pub mod schema;
pub mod source;
pub mod words;
pub mod written;

mod check;
mod lower;
mod near;
mod read;
mod resolve;

use std::path::Path;

pub use finding::{Finding, Report, Severity};
pub use handlers::Handlers;
pub use lower::cpuid::is_of_model as is_of_cpu_model;
pub use lowered::Lowered;
pub use machine::Machine;
pub use near::nearest;
pub use source::Source;

use finding::Findings;

/// Loads the policy in a file. `handlers_rs` is the source with the user's own exit handlers;
/// without it the names of handlers are not checked.
///
/// # Errors
/// Everything that is wrong with the policy, or that the file cannot be read.
pub fn load(path: &Path, handlers_rs: Option<&Path>) -> Result<Lowered, Report> {
    let name = display_name(path);
    let bytes = std::fs::read(path).map_err(|error| {
        let reason = format!("cannot read `{name}`: {error}");
        let help = "give the path of a policy, such as the `vm.toml` of the workspace";
        unreadable(Source::new(&name, ""), 0, &reason, help)
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let source = Source::new(&name, &String::from_utf8_lossy(error.as_bytes()));
        let at = error.utf8_error().valid_up_to();
        unreadable(
            source,
            at,
            "this is not UTF-8 text",
            "save the file as UTF-8",
        )
    })?;
    let handlers = handlers_rs.map_or(Handlers::Unknown, Handlers::of_file);
    policy(Source::new(&name, &text), &handlers, path.parent())
}

/// The policy in a text. `folder` is where the paths of images start; without it the files
/// are not looked for.
///
/// # Errors
/// Everything that is wrong with the policy.
pub fn policy(
    source: Source,
    handlers: &Handlers,
    folder: Option<&Path>,
) -> Result<Lowered, Report> {
    let mut found = Findings::new(&source);
    let document = read::document(&mut found);
    if found.breaks(&rules::SYNTAX) {
        return Err(found.into_report());
    }
    let resolved = resolve::resolve(document, &mut found);
    check::check(&resolved, handlers, folder, &mut found);
    let report = found.into_report();
    if report.has_errors() {
        return Err(report);
    }
    Ok(lower::lower(&resolved, &source, report))
}

/// A path as a person in the current folder would write it.
fn display_name(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let shorter = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    shorter.as_deref().unwrap_or(path).display().to_string()
}

/// A report on a file that is no text, from this byte on.
fn unreadable(source: Source, at: usize, message: &str, help: &str) -> Report {
    let mut found = Findings::new(&source);
    let span = source::Span { start: at, end: at };
    found.add(&rules::READABLE, span, message).help(help);
    found.into_report()
}
