//! What a person sees on each kind of screen: a BIOS's text mode, the pixels of UEFI, Bochs' window.

use std::path::Path;

use crate::harness::{Boot, slow};
use crate::in_a_vm::POLICY;
use crate::screens::{Glyphs, Screen, of_bochs, of_pixels};

/// It takes four boots.
pub fn slow_trials() -> Vec<libtest_mimic::Trial> {
    slow![a_guests_screen_is_the_same_in_text_mode_in_pixels_and_in_bochs]
}

/// What is typed while all else gets onto the screen.
const STILL: &str = "still...............................";

fn file(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    path.to_str().expect("a path").to_owned()
}

fn policy(machine: &str) -> String {
    POLICY.replace("CMDLINE", "").replace("qemu-tcg", machine)
}

/// Commands whose answers are the same everywhere, and then a while of typing in which all of that
/// gets onto the screen.
fn typed(boot: Boot) -> Boot {
    boot.args(["--expect", "tollgate> ", "--keys", "help\\n"])
        .args(["--expect", "tollgate> ", "--keys", "fault\\n"])
        .args(["--expect", "survived", "--expect", "tollgate> "])
        .args(["--keys", STILL])
}

/// The lines above the one in which `still` is being typed.
fn answers(text: &str) -> Vec<&str> {
    let lines: Vec<_> = text.lines().collect();
    let end = lines.iter().position(|line| line.contains("> still."));
    let end = end.unwrap_or_else(|| panic!("not all of it is in\n{text}"));
    lines[..end].to_vec()
}

fn a_guests_screen_is_the_same_in_text_mode_in_pixels_and_in_bochs() {
    let folder = tempfile::tempdir().expect("a folder");
    let [text, bios, uefi, bochs] =
        ["bios.txt", "bios.ppm", "uefi.ppm", "bochs.ppm"].map(|name| file(folder.path(), name));

    typed(Boot::policy(&policy("qemu-tcg")).arg("--iso"))
        .args(["--see", &format!("tollgate> {STILL}"), "--screen", &text])
        .args(["--screen", &bios, "--keys", "\\npoweroff\\n"])
        .run()
        .ends_with(0);
    let screen = Screen::load(folder.path(), "bios");
    let mut glyphs = Glyphs::default();
    screen.shows_its_text(&mut glyphs);
    let answers_of_bios = answers(&screen.text);
    assert!(
        answers_of_bios
            .iter()
            .any(|line| line.contains("fault: survived"))
    );

    typed(Boot::policy(&policy("qemu-tcg")).arg("--uefi"))
        .args(["--screen", &uefi, "--keys", "\\npoweroff\\n"])
        .run()
        .ends_with(0);
    let pixels = of_pixels(Path::new(&uefi));
    assert_eq!(answers(&pixels), answers_of_bios, "{pixels}");

    typed(Boot::bochs(&policy("bochs-ryzen")))
        .args(["--screen", &bochs, "--keys", "\\npoweroff\\n"])
        .run()
        .ends_with(0);
    let window = of_bochs(Path::new(&bochs), &glyphs);
    assert_eq!(answers(&window), answers_of_bios, "{window}");

    let words = file(folder.path(), "words.ppm");
    Boot::bochs(&policy("bochs-ryzen"))
        .args(["--drill", "panic", "--expect", "from long_mode"])
        .args(["--screen", &words])
        .run()
        .ends_with(4);
    let window = of_bochs(Path::new(&words), &glyphs);
    assert!(window.contains(" broke: "), "{window}");
    assert!(window.contains("from core::panicking::panic"), "{window}");
}
