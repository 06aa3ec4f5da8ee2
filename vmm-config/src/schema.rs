//! The JSON schema (draft 7) of a policy, for editors: keys, words and their meaning.
//!
//! It says what can be said in a schema; the rest is the business of the rules. TOML nests
//! dotted names, so an exit such as `cr3.write` stands there twice: as one key, which a person
//! writes in quotes, and as `write` in `cr3`.

mod parts;

use std::collections::BTreeMap;

use intercepts::{Action, CPUID_FEATURES, EXITS, Exit, ExitCode, Feature, MSRS, VECTORS};
use serde_json::{Map, Value, json};

use self::parts::{any, choice, described, names, pattern, range, reference, table, words};
use crate::machine::MACHINES;
use crate::read::files::DEBIAN;
use crate::words::{
    Counters, CpuModel, Debian, Device, Flush, Halted, IoAction, LogLevel, MsrAction, Protocol,
    Restart, Test, Then, Ticks, Word,
};

/// A leaf of CPUID, and perhaps a subleaf.
const LEAF: &str = "^(0[xX])?[0-9a-fA-F_]+(\\.(0[xX])?[0-9a-fA-F_]+)?$";

/// The schema.
pub fn schema() -> Value {
    let machines = MACHINES
        .iter()
        .map(|machine| (machine.name, machine.meaning));
    let line = json!({
        "anyOf": [
            described("`vmm`, `focus`, or the name of a VM", json!({ "type": "string" })),
            table(&[
                ("vm", described("The VM that gets the line", json!({ "type": "string" }))),
                ("ports", described("The ports of the device behind it", range())),
            ], &["vm"]),
        ],
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Tollgate policy",
        "description": "What guests may do by themselves, and where they meet a gate",
        "type": "object",
        "additionalProperties": false,
        "required": ["vm"],
        "properties": {
            "target": described("What the policy is written for", table(&[
                ("machine", described("The machine whose features the policy may rely on", choice(machines))),
                ("features", described("What your machine has beyond that", json!({ "type": "array", "items": words::<Feature>() }))),
            ], &[])),
            "vmm": described("The VMM itself", table(&[
                ("quantum", described("Time slice when several VMs have work, such as `10 ms`", pattern("^[0-9_]+ *(us|ms|s)$"))),
                ("log", described("The least urgent messages that the log shows", words::<LogLevel>())),
            ], &[])),
            "set": described("Sets of intercepts, by name", json!({
                "type": "object",
                "additionalProperties": { "$ref": "#/definitions/set" },
            })),
            "vm": described("The VMs", json!({
                "type": "array",
                "minItems": 1,
                "items": vm(),
            })),
            "irq": described("Who gets each physical interrupt line", json!({
                "type": "object",
                "additionalProperties": false,
                "patternProperties": { "^(0x)?[0-9a-fA-F]+$": line },
            })),
        },
        "definitions": definitions(),
    })
}

/// The schema as it stands in the workspace.
pub fn text() -> String {
    format!("{:#}\n", schema())
}

fn vm() -> Value {
    let io = table(
        &[
            (
                "ports",
                described("A port or a range, such as `0x220-0x22f`", range()),
            ),
            (
                "action",
                described("What an access does", words::<IoAction>()),
            ),
        ],
        &["ports", "action"],
    );
    let msr = table(
        &[
            (
                "msr",
                described(
                    "An MSR by name or number, or a range of numbers",
                    reference("msr"),
                ),
            ),
            ("read", described("What RDMSR does", words::<MsrAction>())),
            ("write", described("What WRMSR does", words::<MsrAction>())),
        ],
        &["msr"],
    );
    table(
        &[
            (
                "name",
                described(
                    "Its name: letters, digits, `-` and `_`",
                    pattern("^[A-Za-z0-9_-]{1,32}$"),
                ),
            ),
            (
                "image",
                described(
                    "`guest`, the workspace's own kernel, or a path with a `/`, or `debian:` and a name",
                    any(&[pattern("^guest$|/"), debian()]),
                ),
            ),
            (
                "protocol",
                described("How its kernel is started", words::<Protocol>()),
            ),
            (
                "initrd",
                described(
                    "Linux's initial file system: a path with a `/`, or `debian:` and a name",
                    any(&[pattern("/"), debian()]),
                ),
            ),
            (
                "modules",
                described(
                    "Files for a Multiboot kernel: of each its path, with a `/`, and words",
                    json!({ "type": "array", "items": { "type": "string", "maxLength": 1024, "pattern": "^[ -~]*$" } }),
                ),
            ),
            (
                "cmdline",
                described(
                    "The kernel command line",
                    json!({ "type": "string", "maxLength": 1024, "pattern": "^[ -~]*$" }),
                ),
            ),
            (
                "memory",
                described(
                    "Guest memory, such as `64 MiB`",
                    pattern("^[0-9_]+ *(KiB|MiB|GiB)$"),
                ),
            ),
            (
                "asid",
                described(
                    "Address space identifier; the lowest free one if it is left out",
                    json!({ "type": "integer", "minimum": 1 }),
                ),
            ),
            (
                "npt",
                described("Nested paging", json!({ "type": "boolean" })),
            ),
            (
                "shadow_tables",
                described(
                    "Memory for shadow page tables without nested paging, from 256 KiB to 255 MiB; if it is left out, enough to map all of the guest's memory twice",
                    pattern("^[0-9_]+ *(KiB|MiB|GiB)$"),
                ),
            ),
            (
                "intercepts",
                described(
                    "A set, a list of sets of which later ones win, or a set of its own",
                    any(&[names(), reference("set")]),
                ),
            ),
            (
                "devices",
                described(
                    "The devices that it sees",
                    json!({ "type": "array", "items": words::<Device>() }),
                ),
            ),
            (
                "halted",
                described("What HLT with interrupts off means", words::<Halted>()),
            ),
            (
                "autostart",
                described("Whether it starts by itself", json!({ "type": "boolean" })),
            ),
            (
                "restart",
                described("When it starts again after an end", words::<Restart>()),
            ),
            (
                "restart_limit",
                described(
                    "How often it starts again at most; 3 if it is left out",
                    json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 }),
                ),
            ),
            (
                "weight",
                described(
                    "Its share of the CPU while others are busy too, against their weights",
                    json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
                ),
            ),
            (
                "counters",
                described("What is kept on its exits", words::<Counters>()),
            ),
            (
                "ticks",
                described(
                    "What becomes of timer ticks that came while others ran",
                    words::<Ticks>(),
                ),
            ),
            (
                "trace",
                described(
                    "How many of its last exits are kept one by one, for when it ends",
                    json!({ "type": "integer", "minimum": 0, "maximum": 65536 }),
                ),
            ),
            (
                "tsc_offset",
                described(
                    "Added to the TSC that the guest reads, in ticks",
                    json!({ "type": "integer" }),
                ),
            ),
            (
                "tlb",
                described(
                    "What is flushed when a translation changes",
                    words::<Flush>(),
                ),
            ),
            (
                "cpu",
                described("The CPU that it sees", words::<CpuModel>()),
            ),
            ("cpuid", described("Where that CPU claims to be", cpuid())),
            (
                "io",
                described(
                    "Ports beyond those of the devices",
                    json!({ "type": "array", "items": io }),
                ),
            ),
            (
                "msr",
                described(
                    "MSRs beyond the VMM's own model",
                    json!({ "type": "array", "items": msr }),
                ),
            ),
        ],
        &["name", "memory", "intercepts"],
    )
}

/// Files out of Debian's packages.
fn debian() -> Value {
    let files: Vec<_> = Debian::ALL
        .iter()
        .map(|file| (format!("{DEBIAN}{}", file.name()), file.meaning()))
        .collect();
    choice(
        files
            .iter()
            .map(|(name, meaning)| (name.as_str(), *meaning)),
    )
}

fn cpuid() -> Value {
    let leaf = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let features = CPUID_FEATURES
        .iter()
        .map(|feature| (feature.name, feature.meaning));
    let listed = json!({ "type": "array", "items": any(&[choice(features), pattern(LEAF), leaf]) });
    let register = json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX });
    let registers = table(
        &["eax", "ebx", "ecx", "edx"].map(|name| (name, register.clone())),
        &[],
    );
    table(
        &[
            (
                "hide",
                described("Features and leaves that are not there", listed.clone()),
            ),
            (
                "show",
                described("Features and leaves that are the host's", listed),
            ),
            (
                "set",
                described(
                    "Leaves with these registers",
                    json!({
                        "type": "object",
                        "additionalProperties": false,
                        "patternProperties": { LEAF: registers },
                    }),
                ),
            ),
        ],
        &[],
    )
}

/// `set`, and one definition for each choice of actions that some exit has.
fn definitions() -> Value {
    let mut definitions = Map::new();
    for exit in EXITS {
        let name = answer_name(exit);
        if !definitions.contains_key(&name) {
            definitions.insert(name, answer(exit, None));
        }
    }
    let vectors = VECTORS.iter().map(|(name, manual)| (*name, *manual));
    let number = json!({ "type": "integer", "minimum": 0, "maximum": 31 });
    let msrs = MSRS.iter().map(|msr| (msr.name, msr.meaning));
    for (name, schema) in [
        ("set", set()),
        ("vector", any(&[choice(vectors), number, pattern("^#")])),
        ("msr", any(&[choice(msrs), range()])),
        ("range", range()),
    ] {
        definitions.insert(name.to_owned(), schema);
    }
    definitions.into()
}

/// Exits that take the same actions and conditions share a definition.
fn answer_name(exit: &Exit) -> String {
    let tests = Test::ALL.iter().filter(|test| test.fits(exit));
    let tests = tests.fold(0, |bits, test| bits | 1 << *test as u32);
    let filter = if is_filtered(exit) { "-filter" } else { "" };
    format!("answer-{:03x}-{tests:03x}{filter}", exit.fits.bits())
}

/// Whether the CPU can make one exit of many.
fn is_filtered(exit: &Exit) -> bool {
    exit.code == ExitCode::Pause
}

fn set() -> Value {
    let mut properties = Map::new();
    let extends = described("The sets that it starts from; later ones win", names());
    properties.insert("extends".to_owned(), extends);
    let mut families: BTreeMap<&str, Vec<(&str, Value)>> = BTreeMap::new();
    for exit in EXITS {
        let meaning = format!("{}: {} (APM {})", exit.apm, exit.trigger, exit.section);
        let answer = described(&meaning, reference(&answer_name(exit)));
        if let Some((family, rest)) = exit.name.split_once('.') {
            families
                .entry(family)
                .or_default()
                .push((rest, answer.clone()));
        }
        properties.insert(exit.name.to_owned(), answer);
    }
    for (family, members) in families {
        let schema = match intercepts::by_name(family) {
            Some(exit) => {
                let meaning = format!("{}: {} (APM {})", exit.apm, exit.trigger, exit.section);
                described(&meaning, answer(exit, Some(&members)))
            }
            None => table(&members, &[]),
        };
        properties.insert(family.to_owned(), schema);
    }
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// An action's word, or a table with parameters; `more`: exits whose names go on from here.
fn answer(exit: &Exit, more: Option<&[(&str, Value)]>) -> Value {
    let fitting = || {
        let actions = Action::ALL
            .into_iter()
            .filter(|action| exit.accepts(*action));
        choice(actions.map(|action| (action.name(), action.meaning())))
    };
    let one = [
        ("action", described("What happens", fitting())),
        (
            "handler",
            described(
                "A function in boot/src/handlers.rs",
                json!({ "type": "string" }),
            ),
        ),
        (
            "vector",
            described("The exception that `inject` delivers", reference("vector")),
        ),
        (
            "error",
            described(
                "The error code that `inject` pushes",
                json!({ "type": "integer", "minimum": 0, "maximum": 0xffff }),
            ),
        ),
        (
            "log",
            described("Say each one on the log", json!({ "type": "boolean" })),
        ),
    ];
    let tests = Test::ALL.iter().filter(|test| test.fits(exit)).map(|test| {
        let value = match test {
            Test::Write => json!({ "type": "boolean" }),
            Test::Msr => reference("msr"),
            _ => reference("range"),
        };
        (test.name(), described(test.meaning(), value))
    });
    let rule = table(&one.iter().cloned().chain(tests).collect::<Vec<_>>(), &[]);
    let mut whole = Vec::from(one);
    whole.extend([
        (
            "when",
            described(
                "Rules, of which the first that holds wins; the last one has no condition",
                json!({ "type": "array", "minItems": 1, "items": rule }),
            ),
        ),
        (
            "limit",
            described(
                "How often the exit is answered",
                json!({ "type": "integer", "minimum": 1 }),
            ),
        ),
        (
            "then",
            described("What comes after the limit", words::<Then>()),
        ),
    ]);
    if is_filtered(exit) {
        let number = json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX });
        whole.extend([
            (
                "filter",
                described("So many PAUSEs make one exit", number.clone()),
            ),
            (
                "threshold",
                described(
                    "Those that follow each other within so many cycles count together",
                    number,
                ),
            ),
        ]);
    }
    whole.extend(more.unwrap_or_default().iter().cloned());
    any(&[fitting(), table(&whole, &[])])
}
