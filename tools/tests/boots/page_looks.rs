//! How the reference's page looks: view by view, on wide and narrow screens, light and dark, on paper.

use serde_json::json;
use tools::workspace::Workspace;

use crate::browser::{Browser, Screen};
use crate::harness::{slow, trials};
use crate::register_browser::{WIDE, a_dump, page, tick_two};

trials![the_page_fits_wide_and_narrow_screens_light_and_dark_and_paper];

pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![the_page_is_pictured_view_by_view]
}

/// Every kind of view.
const VIEWS: [&str; 16] = [
    "map",
    "fields",
    "exits",
    "other",
    "demands",
    "decode",
    "compare",
    "all",
    "f/cs",
    "f/vintr",
    "f/intercept_misc1",
    "x/ioio",
    "m/vm_cr",
    "c/EDX",
    "i/VMRUN",
    "q/cr3",
];

/// Screens by name.
const SCREENS: [(&str, Screen); 4] = [
    ("light-wide", WIDE),
    ("dark-wide", DARK),
    ("light-narrow", Screen { width: 360, ..WIDE }),
    ("dark-narrow", Screen { width: 360, ..DARK }),
];

const DARK: Screen = Screen {
    is_dark: true,
    ..WIDE
};

/// Goes to a view, and gives it what it waits for: a dump, and two policies.
fn fill(browser: &mut Browser, view: &str) {
    browser.go(&format!("#{view}"));
    match view {
        "decode" => {
            browser.value("document.getElementById('dump').select()");
            browser.type_text(&a_dump());
        }
        "compare" => tick_two(browser),
        _ => {}
    }
}

fn the_page_fits_wide_and_narrow_screens_light_and_dark_and_paper() {
    let mut browser = Browser::open(page());
    let paper = Screen {
        is_paper: true,
        ..WIDE
    };
    for (_, screen) in SCREENS.into_iter().chain([("paper", paper)]) {
        browser.show_on(screen);
        for view in VIEWS {
            fill(&mut browser, view);
            let over = browser.value("document.documentElement.scrollWidth - innerWidth");
            let within = browser.value(
                "[...document.querySelectorAll('.scroll')]
                    .filter((part) => part.scrollHeight > part.clientHeight).length",
            );
            assert_eq!(
                within,
                json!(0),
                "{view} on {screen:?} scrolls within a table"
            );
            assert!(
                over.as_i64() <= Some(0),
                "{view} on {screen:?}: {over} pixels too wide"
            );
        }
        let header = browser.text("getComputedStyle(document.querySelector('header')).display");
        assert_eq!(header == "none", screen.is_paper);
        let paper = browser.text("getComputedStyle(document.body).backgroundColor");
        let brightness: u32 = paper
            .trim_matches(|character: char| !character.is_ascii_digit())
            .split(", ")
            .filter_map(|part| part.parse::<u32>().ok())
            .sum();
        assert_eq!(brightness < 300, screen.is_dark, "{paper}");
    }
    assert_eq!(browser.complaints, [""; 0]);
}

/// For people to look at, in `target/screens`.
fn the_page_is_pictured_view_by_view() {
    let folder = Workspace::find().root().join("target/screens");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut browser = Browser::open(page());
    for (name, screen) in SCREENS {
        browser.show_on(screen);
        for view in VIEWS {
            fill(&mut browser, view);
            let picture = browser.picture();
            assert!(picture.starts_with(b"\x89PNG") && picture.len() > 5_000);
            let file = format!("{}-{name}.png", view.replace('/', "-"));
            std::fs::write(folder.join(file), picture).expect("a picture");
        }
    }
    browser.show_on(WIDE);
    browser.go("#all");
    let printed = browser.print();
    assert!(printed.starts_with(b"%PDF"));
    std::fs::write(folder.join("all.pdf"), printed).expect("a document");
    assert_eq!(browser.complaints, [""; 0]);
}
