//! The reference as one HTML page that asks the network for nothing: a register browser.
//!
//! The page's data is the JSON of [`super::model`]; style and script are files of their own here,
//! and end up inside the page.

use askama::Template;

use super::model::Reference;

#[derive(Template)]
#[template(path = "reference.html")]
struct Page<'p> {
    style: &'p str,
    script: &'p str,
    data: &'p str,
}

/// The page.
///
/// # Errors
/// The template or the data cannot be written, which would be a mistake in this module.
pub fn text(reference: &Reference) -> Result<String, String> {
    // In a script element `<` could begin an end tag.
    let data = serde_json::to_string(reference)
        .map_err(|error| error.to_string())?
        .replace('<', "\\u003c");
    let page = Page {
        style: include_str!("page/style.css"),
        script: concat!(
            include_str!("page/bits.js"),
            include_str!("page/search.js"),
            include_str!("page/views.js"),
            include_str!("page/paper.js"),
            include_str!("page/main.js"),
        ),
        data: &data,
    };
    page.render().map_err(|error| error.to_string())
}
