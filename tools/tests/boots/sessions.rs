//! A person with four VMs, once at the serial line and once at the keyboard and the screen: looks
//! at each, types into each, stops one, starts it again, and switches all of them off.

use iced_x86::code_asm::{dword_ptr, esi};
use tempfile::TempDir;

use crate::harness::{Boot, Outcome, trials};
use crate::screens::{Glyphs, Screen};
use crate::several_vms::{policy, vm, with_kernel};
use crate::tiny_guest::{EXIT_PORT, complain, power_off, tiny_guest};

trials![
    a_session_on_the_serial_line,
    a_session_on_the_keyboard_and_the_screen,
    eight_vms_run_side_by_side_and_each_gives_its_memory_back,
    a_thousand_lives_of_two_vms_leak_nothing_and_begin_with_zeroes,
];

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn four() -> Boot {
    let vms = NAMES.map(|name| with_kernel(name, "", ""));
    let boot = policy("10 ms", &vms).within_seconds("120");
    NAMES
        .iter()
        .fold(boot, |boot, _| boot.args(["--expect", "tollgate> "]))
}

/// Gives it these options, each with its text.
fn options(boot: Boot, options: &[(&str, &str)]) -> Boot {
    let options = options.iter();
    options.fold(boot, |boot, (option, text)| boot.args([option, text]))
}

/// The pictures that a session takes.
struct Pictures {
    folder: TempDir,
    glyphs: Glyphs,
    /// How many of those that were looked at have shown a cursor.
    cursors: usize,
}

impl Pictures {
    fn new() -> Pictures {
        Pictures {
            folder: tempfile::tempdir().expect("a folder"),
            glyphs: Glyphs::default(),
            cursors: 0,
        }
    }

    /// Saves the screen, twice: the cursor blinks. Shift types nothing.
    fn take(&self, boot: Boot, name: &str) -> Boot {
        let longer_than_a_blink = "<shift>".repeat(6);
        let save = |boot: Boot, name: String| {
            ["txt", "ppm"].iter().fold(boot, |boot, kind| {
                let file = self.folder.path().join(format!("{name}.{kind}"));
                boot.arg("--screen").arg(file)
            })
        };
        let boot = save(boot, name.to_owned()).args(["--keys", &longer_than_a_blink]);
        save(boot, format!("{name}-later"))
    }

    /// What the picture reads as.
    fn text(&mut self, name: &str) -> String {
        let screen = Screen::load(self.folder.path(), name);
        screen.shows_its_text(&mut self.glyphs);
        screen.text
    }

    /// What both read as. Where the cursor is seen, it is behind that.
    fn text_with_cursor(&mut self, name: &str) -> String {
        let names = [name.to_owned(), format!("{name}-later")];
        let [now, later] = names.map(|name| Screen::load(self.folder.path(), &name));
        assert_eq!(now.text, later.text, "{name} has changed");
        for screen in [&now, &later] {
            if let Some(cursor) = screen.shows_its_text(&mut self.glyphs) {
                assert_eq!(cursor, now.end(), "{name}:\n{}", now.text);
                self.cursors += 1;
            }
        }
        now.text
    }
}

/// How often VM `name` has answered `in 21`.
fn answers(outcome: &Outcome, name: &str) -> usize {
    let lines = outcome.lines_of(name);
    let answers = lines
        .iter()
        .filter(|line| line.contains("in: port 21 reads"));
    answers.count()
}

fn a_session_on_the_serial_line() {
    let mut pictures = Pictures::new();
    let mut boot = four();
    for (number, name) in [(2, "b"), (4, "d"), (3, "c"), (1, "a")] {
        let steps = [
            ("--type", &*format!("\x1d{number}")),
            ("--expect", &*format!("{name} has the keyboard")),
            ("--type", &*format!("in 21\nthis is {name}")),
            ("--expect", &*format!("{name}| ~ in: port 21")),
            ("--see", &*format!("tollgate> this is {name}")),
        ];
        boot = pictures.take(options(boot, &steps), name);
    }
    let steps = [
        // c is stopped, and started again.
        ("--type", "\x1d3"),
        ("--expect", "c has the keyboard"),
        ("--type", "\x1ds"),
        ("--expect", "c: turned-off"),
        ("--type", "s\r"),
        ("--expect", "c has the keyboard"),
        ("--expect", "c| tollgate> "),
        ("--type", "in 21\n"),
        ("--expect", "c| ~ in: port 21"),
        // The button, a reset, and a pause.
        ("--type", "\x1d2"),
        ("--expect", "b has the keyboard"),
        ("--type", "\x1dp"),
        ("--expect", "b                  paused"),
        ("--type", "p"),
        ("--expect", "Enter to the guest"),
        ("--type", "r"),
        ("--expect", "b: turned-off: reset at the console"),
        ("--type", "\r"),
        ("--expect", "b| tollgate> "),
        ("--type", "\x1db"),
        ("--expect", "b: power-off"),
        ("--type", "3"),
        ("--expect", "c has the keyboard"),
        ("--type", "poweroff\n"),
        ("--expect", "c: power-off"),
        ("--type", "\x1d4"),
        ("--expect", "d has the keyboard"),
        ("--type", "\npoweroff\n"),
        ("--expect", "d: power-off"),
        ("--type", "\x1d1"),
        ("--expect", "a has the keyboard"),
        ("--type", "\npoweroff\n"),
    ];
    let outcome = options(boot, &steps).run().ends_with(0);
    for (name, expected) in [("a", 1), ("b", 1), ("c", 2), ("d", 1)] {
        assert_eq!(
            answers(&outcome, name),
            expected,
            "{name}: {:#?}",
            outcome.lines
        );
    }
    for name in NAMES {
        let text = pictures.text_with_cursor(name);
        assert!(text.contains("~ in: port 21 reads"), "{name}:\n{text}");
        let typed = format!("tollgate> this is {name}");
        assert!(text.trim_end().ends_with(&typed), "{name}:\n{text}");
        assert_eq!(text.matches("tollgate> ").count(), 2, "{name}:\n{text}");
    }
    assert!(pictures.cursors > 0, "no cursor has been seen");
}

const CHORD: &str = "<ctrl+alt+esc>";

fn a_session_on_the_keyboard_and_the_screen() {
    let mut pictures = Pictures::new();
    let mut boot = four().args(["--see", "tollgate> "]);
    // Into each, another command; the answer alone shows that it is the right screen.
    for (key, name, command) in [
        ("2", "b", "in 21"),
        ("3", "c", "fault"),
        ("4", "d", "ticks"),
        ("1", "a", "cpuid"),
    ] {
        let open = format!("{CHORD}{key}");
        let chosen = format!("{name} has the keyboard");
        let typed = format!("{command}\\n");
        let answered = match command {
            "in 21" => "in: port 21",
            "fault" => "fault: survived",
            "ticks" => "~ ticks: ",
            _ => "~ cpuid: extended",
        };
        boot = boot
            .args(["--keys", &open, "--expect", &chosen])
            .args(["--keys", &typed, "--see", answered])
            // Once this is on the screen, all that came before is, and nothing moves.
            .args(["--keys", "still", "--see", "tollgate> still"]);
        boot = pictures.take(boot, name);
    }
    boot = boot
        .args(["--keys", CHORD, "--see", "Enter to the guest"])
        .args(["--see", ">  1 a"]);
    boot = pictures.take(boot, "list");
    // c is stopped and started again, and its screen is a new one.
    let steps = [
        ("--keys", "3"),
        ("--expect", "c has the keyboard"),
        ("--see", "fault: survived"),
        ("--keys", "<ctrl+alt+esc>s"),
        ("--expect", "c: turned-off"),
        ("--see", "turned-off"),
        ("--keys", "s\\n"),
        ("--expect", "c has the keyboard"),
        ("--see", "type help"),
        ("--keys", "still"),
        ("--see", "tollgate> still"),
    ];
    boot = pictures.take(options(boot, &steps), "again");
    // b has kept its screen and its cursor meanwhile.
    let steps = [
        ("--keys", "<ctrl+alt+esc>2"),
        ("--expect", "b has the keyboard"),
        ("--see", "in: port 21"),
    ];
    boot = pictures.take(options(boot, &steps), "kept");
    for (key, name) in [("2", "b"), ("4", "d"), ("1", "a"), ("3", "c")] {
        let open = format!("{CHORD}{key}");
        let chosen = format!("{name} has the keyboard");
        boot = boot
            .args(["--keys", &open, "--expect", &chosen])
            .args(["--keys", "\\npoweroff\\n"]);
        let off = format!("{name}: power-off");
        boot = boot.args(["--expect", &off]);
    }
    boot.run().ends_with(0);

    for (name, command, answer) in [
        ("a", "tollgate> cpuid", "~ cpuid: extended"),
        ("b", "tollgate> in 21", "~ in: port 21 reads"),
        ("c", "tollgate> fault", "fault: survived"),
        ("d", "tollgate> ticks", "~ ticks: "),
    ] {
        let text = pictures.text_with_cursor(name);
        assert!(text.contains(command), "{name}:\n{text}");
        assert!(text.contains(answer), "{name}:\n{text}");
        let prompts = text.matches("tollgate> ").count();
        assert!(prompts <= 2, "others' commands on {name}:\n{text}");
    }
    let list = pictures.text("list");
    for name in NAMES {
        let mut rows = list.lines();
        let row = rows.find(|row| row[4..].starts_with(&format!(" {name}  ")));
        assert!(row.is_some_and(|row| row.contains("waiting")), "{list}");
    }
    let again = pictures.text_with_cursor("again");
    assert!(!again.contains("fault"), "{again}");
    assert_eq!(pictures.text_with_cursor("kept"), pictures.text("b"));
    assert!(pictures.cursors > 0, "no cursor has been seen");
}

/// There is memory for eight lives at a time and no more, and there are sixteen.
fn eight_vms_run_side_by_side_and_each_gives_its_memory_back() {
    let names: Vec<String> = (1..=8).map(|number| format!("vm{number}")).collect();
    let vms: Vec<_> = names
        .iter()
        .map(|name| with_kernel(name, "demo", "restart = \"always\"\nrestart_limit = 1"))
        .collect();
    let outcome = policy("5 ms", &vms)
        .within_seconds("120")
        .run()
        .ends_with(0);
    for name in &names {
        let lines = outcome.lines_of(name);
        let done = lines.iter().filter(|line| **line == "demo: done").count();
        assert_eq!(done, 2, "{name}: {lines:#?}");
    }
}

/// Nested paging in one VM, shadow paging in the other; after a thousand lives of each as much memory
/// is free as after one.
fn a_thousand_lives_of_two_vms_leak_nothing_and_begin_with_zeroes() {
    const MIB: u32 = 1 << 20;
    const MEMORY: u32 = 4 * MIB;
    let kernel = tiny_guest(|a| {
        let (mut page, mut dirty) = (a.create_label(), a.create_label());
        a.mov(esi, 2 * MIB)?;
        a.set_label(&mut page)?;
        a.cmp(dword_ptr(esi), 0)?;
        a.jne(dirty)?;
        a.dec(dword_ptr(esi))?;
        a.add(esi, 4096)?;
        a.cmp(esi, MEMORY)?;
        a.jne(page)?;
        power_off(a)?;
        a.set_label(&mut dirty)?;
        complain(a)
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("brief");
    std::fs::write(&file, kernel).expect("a kernel");
    let image = file.to_str().expect("a path");
    let free_after = |restarts: u32| {
        let vms = [("nested", true), ("shadowed", false)].map(|(name, npt)| {
            let rest = format!(
                "npt = {npt}\nrestart = \"always\"\nrestart_limit = {restarts}\n{EXIT_PORT}"
            );
            vm(name, image, &rest).replace("16 MiB", "4 MiB")
        });
        let outcome = policy("5 ms", &vms)
            .within_seconds("120")
            .run()
            .ends_with(0);
        for vm in outcome.report["vms"].as_array().expect("VMs") {
            assert_eq!(vm["lives"], restarts + 1, "{vm}");
        }
        outcome.report["free_bytes"].as_u64().expect("a number")
    };
    assert_eq!(free_after(1), free_after(1000));
}
