//! `cargo book`: builds the study in docs/book as HTML, with the reference's tables in their
//! places. A link that leads nowhere, or a table that there is not, fails the build.
//!
//! A package of its own, and no default member, so that only who wants the book builds mdBook.

use std::path::PathBuf;
use std::process::ExitCode;

use mdbook_driver::MDBook;
use mdbook_driver::book::BookItem;
use tools::reference::model::Reference;
use tools::study;
use tools::workspace::Workspace;

fn main() -> ExitCode {
    match build() {
        Ok(page) => {
            println!("{}", page.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the book; the path of its first page.
fn build() -> Result<PathBuf, String> {
    let workspace = Workspace::find();
    let root = workspace.root().join("docs/book");
    let wrong = study::check(&root.join("src"))?;
    if !wrong.is_empty() {
        return Err(wrong.join("\nerror: "));
    }
    let mut book = MDBook::load(&root).map_err(|error| format!("{error:#}"))?;
    let output = workspace.book();
    book.config.build.build_dir = output.clone();
    let reference = Reference::new(Vec::new());
    book.book.for_each_mut(|item| {
        if let BookItem::Chapter(chapter) = item {
            chapter.content = study::with_tables(&chapter.content, &reference);
        }
    });
    book.build().map_err(|error| format!("{error:#}"))?;
    Ok(output.join("index.html"))
}
