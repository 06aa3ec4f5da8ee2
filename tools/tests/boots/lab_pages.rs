//! The lab's pages in a browser: light and dark, wide, narrow and on paper.

use std::path::Path;

use serde_json::json;

use crate::browser::{Browser, Screen};

/// Each bar's length over the number beside it, by plot, as long as that is no rounding matter.
const SCALES: &str = "[...document.querySelectorAll('svg')].map(plot => \
    [...plot.querySelectorAll('rect')].map(bar => \
        bar.getBoundingClientRect().width / parseInt(bar.nextSibling.textContent.replaceAll(',', ''))) \
    .filter((scale, place) => plot.querySelectorAll('rect')[place].getBoundingClientRect().width > 20))";

/// The colours of keys and bars, of the text, and of the paper.
const COLOURS: &str = "[...document.querySelectorAll('.side')].map(side => \
        getComputedStyle(side)[side.tagName == 'SPAN' ? 'backgroundColor' : 'fill']) \
    .concat(getComputedStyle(document.body).color)";

/// Fails if a browser finds fault with the page, or a person would: opens it, and shows it on every
/// kind of screen.
#[track_caller]
pub fn is_sound(page: &Path) -> Browser {
    let mut browser = Browser::open(page);
    for (width, is_dark, is_paper) in [
        (1200, false, false),
        (1200, true, false),
        (400, false, false),
        (800, false, true),
    ] {
        browser.show_on(Screen {
            width,
            is_dark,
            is_paper,
        });
        let too_wide = browser.value("document.documentElement.scrollWidth > innerWidth");
        assert_eq!(too_wide, json!(false), "{width}");
        let paper = browser.text("getComputedStyle(document.body).backgroundColor");
        let colours = browser.value(COLOURS);
        for colour in colours.as_array().expect("colours") {
            assert_ne!(*colour, json!(paper), "{is_dark}");
            let is_unset = [json!("rgb(0, 0, 0)"), json!("rgba(0, 0, 0, 0)")].contains(colour);
            assert!(!is_unset, "{colours}");
        }
    }
    let plots = browser.value(SCALES);
    let plots = plots.as_array().expect("plots");
    assert!(!plots.is_empty());
    for plot in plots {
        let scales: Vec<f64> = plot
            .as_array()
            .expect("bars")
            .iter()
            .filter_map(serde_json::Value::as_f64)
            .collect();
        for scale in &scales {
            assert!((scale / scales[0] - 1.0).abs() < 0.01, "{plot}");
        }
    }
    assert_eq!(browser.complaints, [""; 0]);
    let asked: Vec<_> = browser
        .requests
        .iter()
        .filter(|url| !url.starts_with("file:"))
        .collect();
    assert!(asked.is_empty(), "{asked:?}");
    browser
}
