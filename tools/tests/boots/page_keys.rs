//! The reference's page used with the keyboard, and its map with a mouse.

use serde_json::json;

use crate::browser::Browser;
use crate::harness::trials;
use crate::register_browser::{WIDE, page};

trials![
    the_page_is_used_without_a_mouse,
    a_field_of_the_map_is_clicked_or_reached_by_keys,
    bits_are_set_and_policies_ticked_by_keys,
];

fn the_page_is_used_without_a_mouse() {
    let mut browser = Browser::open(page());
    browser.press("/");
    assert_eq!(browser.text("document.activeElement.id"), "search");
    browser.type_text("vmmcall");
    browser.press("ArrowDown");
    browser.press("ArrowDown");
    browser.press("ArrowUp");
    assert_eq!(
        browser.value("document.activeElement === main.querySelector('.results a')"),
        json!(true)
    );
    browser.press("/");
    browser.press("Enter");
    browser.value("new Promise((done) => setTimeout(done, 0)).then(() => 0)");
    assert!(
        browser
            .text("main.querySelector('h1').innerText")
            .to_lowercase()
            .contains("vmmcall")
    );
    let reachable = browser.value(
        "location.hash = '#map', show(), main.querySelectorAll('.map a[tabindex=\"0\"]').length",
    );
    assert!(reachable.as_u64() > Some(70), "{reachable}");
}

fn a_field_of_the_map_is_clicked_or_reached_by_keys() {
    let mut browser = Browser::open(page());
    let title = "main.querySelector('h1').innerText";
    let settled = "new Promise((done) => setTimeout(done, 0)).then(() => 0)";
    browser.show_on(WIDE);
    browser.go("#map");
    let place = browser.value(
        "(() => {
            const place = document.querySelector('.map a[href=\"#f/vintr\"] rect').getBoundingClientRect();
            return [place.x + place.width / 2, place.y + place.height / 2];
        })()",
    );
    browser.click(&place);
    browser.value(settled);
    assert!(browser.text(title).contains("vintr"), "{place}");
    browser.go("#map");
    browser.tab_to("document.activeElement.getAttribute('href') === '#f/guest_asid'");
    browser.press("Enter");
    browser.value(settled);
    assert!(browser.text(title).contains("guest_asid"));
}

fn bits_are_set_and_policies_ticked_by_keys() {
    let mut browser = Browser::open(page());
    browser.go("#f/event_injection");
    browser.tab_to("document.activeElement.getAttribute('aria-label') === 'EV'");
    browser.press(" ");
    assert_eq!(
        browser.text("document.querySelector('.value').value"),
        "0x0000000000000800"
    );
    browser.press("Escape");
    assert_eq!(browser.text("document.activeElement.id"), "search");
    browser.go("#compare");
    for policy in ["minimal", "watch-paging"] {
        browser.tab_to(&format!(
            "document.activeElement.closest('.choice')?.innerText.includes('{policy}') ?? false"
        ));
        browser.press(" ");
    }
    let shown = browser.text("document.getElementById('differences').innerText");
    assert!(shown.contains("exits::cr::emulate"), "{shown}");
    assert_eq!(browser.complaints, [""; 0]);
}
