//! The reference's page, used in a real browser as a reader would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;
use tempfile::TempDir;
use tools::reference::{dump, hexdump, model::Reference};
use tools::workspace::Workspace;

use crate::browser::{Browser, Screen};
use crate::harness::trials;

trials![
    the_page_answers_a_readers_questions_in_one_search,
    every_link_of_the_page_lands,
    the_page_asks_for_nothing_and_its_console_is_silent,
    a_value_becomes_bits_and_bits_become_a_value,
    the_page_reads_a_dump_as_the_command_line_does,
    two_ticked_policies_are_compared,
    everything_is_on_one_page_to_print,
    the_page_opens_in_under_a_second,
    a_link_from_elsewhere_opens_the_page_at_its_field,
];

/// A large screen.
pub const WIDE: Screen = Screen {
    width: 1280,
    is_dark: false,
    is_paper: false,
};

/// The page, written by the program.
pub fn page() -> &'static Path {
    static PAGE: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, page) = PAGE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let page = folder.path().join("vmcb.html");
        let written = Command::new(env!("CARGO_BIN_EXE_vmm"))
            .args(["vmcb-docs", "-o"])
            .arg(&page)
            .current_dir(Workspace::find().root())
            .output()
            .expect("the program starts");
        assert!(written.status.success(), "{written:?}");
        (folder, page)
    });
    page
}

/// What the first result of a search says.
fn first_result(browser: &mut Browser, question: &str) -> String {
    browser.value("box.focus(), box.value = '', 0");
    browser.type_text(question);
    browser.text("document.querySelector('.results li').innerText")
}

fn the_page_answers_a_readers_questions_in_one_search() {
    let mut browser = Browser::open(page());
    for (question, answers) in [
        ("what is exit 0x7b", &["VMEXIT_IOIO", "IN, OUT"][..]),
        (
            "which bit intercepts MOV CR3",
            &["intercept_cr_", "(00", "bit 3", "control register"],
        ),
        (
            "what does EXITINFO1 hold for IOIO",
            &["VMEXIT_IOIO", "31:16 PORT", "3 REP"],
        ),
        (
            "why was my VMCB refused",
            &["VMRUN demands", "VMEXIT_INVALID", "guest_asid: ASID 0"],
        ),
        (
            "what does my vm.toml do to offset 0x010",
            &["010h", "vm.toml", "bit 1: vmmcall", "= \"hypercall\""],
        ),
    ] {
        let answer = first_result(&mut browser, question);
        for part in answers {
            assert!(
                answer.contains(part),
                "{question}: no {part:?} in\n{answer}"
            );
        }
    }
    for (typed, title) in [
        ("7bh", "ioio"),
        ("VMEXIT_NPF", "npf"),
        ("cr3.write", "cr3.write"),
        ("0x060", "vintr"),
        ("vm_hsave_pa", "vm_hsave_pa"),
        ("VMRUN", "vmrun"),
        ("V_INTR_MASKING", "vintr.V_INTR_MASKING"),
    ] {
        let answer = first_result(&mut browser, typed).to_lowercase();
        assert!(
            answer.starts_with(&title.to_lowercase()),
            "{typed}: {answer}"
        );
    }
    browser.value("box.value = 'qqqqq', box.dispatchEvent(new Event('input')), 0");
    assert!(browser.text("main.innerText").contains("Nothing found"));
    // A number that ends in h has a digit, which a word has not.
    let words = browser.value("['each', '7bh', '0xEACH', 'c0010117h'].flatMap(wanted)");
    assert_eq!(words, json!(["each", "0x7b", "0xeach", "0xc0010117"]));
}

fn every_link_of_the_page_lands() {
    let mut browser = Browser::open(page());
    let lost = browser.value(
        "(() => {
            const lost = [], seen = new Set(), todo = index.map((entry) => entry.href);
            todo.push(...[...document.querySelectorAll('nav a')].map((a) => a.hash));
            for (let hash; (hash = todo.pop()); ) {
                if (seen.has(hash)) continue;
                seen.add(hash);
                const [name, ...rest] = decodeURIComponent(hash.slice(1)).split('/');
                const page = h('div', null, views[name]?.(rest.join('/')) ?? []);
                const title = page.querySelector('h1')?.textContent ?? 'Not here';
                if (/^Not here/.test(title)) lost.push(hash);
                todo.push(...[...page.querySelectorAll('a')].map((a) => a.getAttribute('href')));
            }
            return { lost, seen: seen.size };
        })()",
    );
    assert_eq!(lost["lost"], json!([]));
    assert!(lost["seen"].as_u64() > Some(280), "{lost}");
    browser.go("#f/there_is_no_such_field");
    assert!(
        browser
            .text("main.innerText")
            .contains("there_is_no_such_field")
    );
    browser.go("#f/vintr");
    assert!(
        browser
            .text("main.querySelector('h1').innerText")
            .contains("vintr")
    );
    browser.go("#q/50%");
    assert!(browser.text("main.innerText").contains("50%"));
    assert_eq!(browser.complaints, [""; 0]);
}

fn the_page_asks_for_nothing_and_its_console_is_silent() {
    let mut browser = Browser::open(page());
    for view in [
        "map", "fields", "exits", "other", "demands", "decode", "compare", "all", "x/npf", "q/tlb",
    ] {
        browser.go(&format!("#{view}"));
        assert!(!browser.text("main.innerText").is_empty(), "{view}");
    }
    assert_eq!(browser.complaints, [""; 0]);
    let page = format!("file://{}", page().display());
    let strangers: Vec<_> = browser
        .requests
        .iter()
        .filter(|url| !url.starts_with(&page) && !url.starts_with("data:") && *url != "about:blank")
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    assert!(!browser.requests.is_empty());
}

fn a_value_becomes_bits_and_bits_become_a_value() {
    let mut browser = Browser::open(page());
    browser.go("#f/event_injection");
    browser.value(
        "document.querySelector('.value').select(), document.querySelector('.value').focus()",
    );
    browser.type_text("0x80000b0d");
    let set = browser
        .text("[...document.querySelectorAll('tr.set')].map((tr) => tr.innerText).join('\\n')");
    for part in ["VECTOR", "exception", "EV", "V\t"] {
        assert!(set.contains(part), "no {part:?} in\n{set}");
    }
    browser.value("document.querySelector('[aria-label=EV]').click()");
    assert_eq!(
        browser.text("document.querySelector('.value').value"),
        "0x000000008000030d"
    );
    browser.value(
        "document.querySelector('.value').select(), document.querySelector('.value').focus()",
    );
    browser.type_text("hello");
    assert!(
        browser
            .text("document.querySelector('.said').innerText")
            .contains("0x1f")
    );
    let law = browser.value(
        "(() => {
            let value = 1n, wrong = [];
            for (const { name, bits, bytes } of data.fields.filter((field) => field.bytes <= 16)) {
                for (let round = 0; round < 50; round++) {
                    value = (value * 6364136223846793005n + 1442695040888963407n) % (1n << 128n);
                    const some = value & maskOf(8 * bytes);
                    if (encode(cut(bits, bytes, some)) !== some) wrong.push(name);
                }
            }
            return wrong;
        })()",
    );
    assert_eq!(law, json!([]));
    assert_eq!(browser.complaints, [""; 0]);
}

/// A dump with something in every field, as the VMM's log has it.
pub fn a_dump() -> String {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..256)
        .map(|row| {
            let bytes: String = (0..16).map(|_| format!(" {:02x}", next())).collect();
            format!("error: vmcb+{:03x}:{bytes}\n", row * 16)
        })
        .collect()
}

/// Fails unless page and command line say the same of this dump.
pub fn assert_read_alike(browser: &mut Browser, text: &str) {
    let reference = Reference::new(Vec::new());
    let bytes = hexdump::read(text.as_bytes()).expect("a dump");
    let ours = dump::cut(&reference, &bytes).text();
    browser.go("#decode");
    browser.value("document.getElementById('dump').focus()");
    browser.type_text(text);
    let theirs = browser.text(
        "(() => {
            const vmcb = readDump(document.getElementById('dump').value);
            return data.fields.filter((field) => field.bytes <= 16 && fieldOf(vmcb, field) !== 0n).map((field) => {
                const value = fieldOf(vmcb, field);
                return [`${offsetName(field.offset)} ${field.name} = ${hex(value, field.bytes)}`,
                    ...words(bitsIn(vmcb, field), field.bytes, value), ...(field.reserved ? ['reserved: should be 0'] : []),
                    ...(field.name === 'exit_code' && exitOf(vmcb) ? [`${exitOf(vmcb).apm}: ${exitOf(vmcb).trigger}`] : [])].join('\\n');
            }).join('\\n');
        })()",
    );
    let ours: Vec<&str> = ours
        .lines()
        .map(str::trim)
        .filter(|line| !line.contains("bytes are not 0"))
        .collect();
    assert_eq!(theirs.lines().collect::<Vec<_>>(), ours);
    let shown = browser.text("document.getElementById('decoded').innerText");
    assert!(shown.contains("exit_code"), "{shown}");
}

fn the_page_reads_a_dump_as_the_command_line_does() {
    let mut browser = Browser::open(page());
    assert_read_alike(&mut browser, &a_dump());
    let of_a_port_access = "vmcb+070: 7b 00 00 00 00 00 00 00 41\n";
    browser.value("document.getElementById('dump').select()");
    assert_read_alike(&mut browser, of_a_port_access);
    let folder = Workspace::find().root().join("tools/tests/data/dumps");
    for file in std::fs::read_dir(folder).expect("dumps") {
        let text = std::fs::read_to_string(file.expect("a dump").path()).expect("text");
        browser.value("document.getElementById('dump').select()");
        assert_read_alike(&mut browser, &text);
    }
    browser.value("document.getElementById('dump').select()");
    browser.type_text("no dump at all");
    let shown = browser.text("document.getElementById('decoded').innerText");
    assert!(shown.contains("no line of hexadecimal bytes"), "{shown}");
    assert_eq!(browser.complaints, [""; 0]);
}

/// Ticks two policies that are not ticked yet.
pub fn tick_two(browser: &mut Browser) {
    browser.value(
        "[...document.querySelectorAll('.choice')]
            .filter((choice) => /minimal|watch-paging/.test(choice.innerText))
            .filter((choice) => !choice.querySelector('input').checked)
            .forEach((choice) => choice.click())",
    );
}

fn two_ticked_policies_are_compared() {
    let mut browser = Browser::open(page());
    browser.go("#compare");
    tick_two(&mut browser);
    let shown = browser.text("document.getElementById('differences').innerText");
    for part in [
        "intercept_cr_write",
        "cr3.write",
        "exits::cr::emulate",
        "not intercepted",
    ] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    assert_eq!(browser.complaints, [""; 0]);
}

fn everything_is_on_one_page_to_print() {
    let mut browser = Browser::open(page());
    browser.show_on(Screen {
        is_paper: true,
        ..WIDE
    });
    browser.go("#all");
    let lost = browser.value(
        "(() => {
            const words = new Set(main.innerText.split(/[\\s(),:]+/));
            const bits = (rows) => rows.map((row) => row.name).filter((name) => name !== null);
            return [
                ...data.fields.filter((field) => !field.reserved).flatMap((field) => [field.name, ...bits(field.bits)]),
                ...data.exits.flatMap((exit) => [exit.name, exit.apm, ...bits(exit.info1_bits), ...bits(exit.info2_bits)]),
                ...data.msrs.flatMap((msr) => [msr.name, ...bits(msr.bits)]),
                ...data.cpuid.flatMap((row) => bits(row.bits)),
                ...data.instructions.map((instruction) => instruction.mnemonic),
            ].filter((name) => !words.has(name));
        })()",
    );
    assert_eq!(lost, json!([]));
    assert_eq!(browser.complaints, [""; 0]);
}

/// It takes a tenth of that; on a busy machine one of many goes undisturbed.
fn the_page_opens_in_under_a_second() {
    const TRIES: usize = 20;
    let mut browser = Browser::open(page());
    let mut times = Vec::new();
    while times.len() < TRIES && !times.iter().any(|time| *time < 1000.0) {
        browser.load(page(), "");
        let time = browser.value("performance.getEntriesByType('navigation')[0].loadEventStart");
        assert!(!browser.text("main.innerText").is_empty());
        times.push(time.as_f64().filter(|time| *time > 0.0).expect("a time"));
    }
    println!("the page opened in {times:?} ms");
    assert!(times.iter().any(|time| *time < 1000.0), "{times:?} ms");
}

fn a_link_from_elsewhere_opens_the_page_at_its_field() {
    let mut browser = Browser::open(page());
    for (fragment, title) in [
        ("#f/vintr", "vintr 060h"),
        ("#x/npf", "VMEXIT_NPF"),
        ("#q/what%20is%20exit%200x7b", "what is exit 0x7b"),
    ] {
        browser.load(page(), fragment);
        let shown = browser.text("main.querySelector('h1').innerText");
        assert!(shown.contains(title), "{fragment}: {shown}");
    }
    assert_eq!(browser.text("box.value"), "what is exit 0x7b");
    assert_eq!(browser.complaints, [""; 0]);
}
