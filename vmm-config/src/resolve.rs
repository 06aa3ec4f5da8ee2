//! From sets with `extends` to one answer per exit for each VM.

use std::collections::{BTreeMap, HashMap};

use intercepts::{Action, EXITS, Exit, ExitCode};

use crate::finding::Findings;
use crate::lower::is_logged;
use crate::near;
use crate::rules;
use crate::source::{At, Span};
use crate::written::{Answer, Document, Entry};

/// Sets that extend each other deeper than this are refused.
const MAX_DEPTH: usize = 32;

/// A policy whose sets are resolved.
pub(crate) struct Policy {
    /// What is written.
    pub(crate) document: Document,
    /// For each VM, its answers in the order of the exit codes.
    pub(crate) gates: Vec<Vec<Gate>>,
    /// For each VM, the ASID it says or the one it gets; `None` if there is none left.
    pub(crate) asids: Vec<Option<u32>>,
}

/// A VM's answer to an exit.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) exit: &'static Exit,
    pub(crate) answer: Answer,
    pub(crate) log: bool,
    /// The entry it comes from; `None` for a default of the VMM.
    pub(crate) entry: Option<Entry>,
}

type Answers = BTreeMap<ExitCode, Entry>;

/// Resolves the sets of every VM, and gives out ASIDs.
pub(crate) fn resolve(document: Document, found: &mut Findings<'_>) -> Policy {
    let mut resolver = Resolver {
        document: &document,
        by_name: HashMap::new(),
        done: HashMap::new(),
        found,
    };
    for (index, set) in document.sets.iter().enumerate() {
        if let Some(name) = &set.name {
            resolver.by_name.insert(&name.value, index);
        }
    }
    // Sets that no VM uses are resolved too: what is wrong with them is wrong today.
    for index in 0..document.sets.len() {
        resolver.set(index, &mut Vec::new());
    }
    let gates = document
        .vms
        .iter()
        .map(|vm| {
            gates(
                resolver.done.remove(&vm.set).unwrap_or_default().0,
                vm.npt.value,
                &document,
            )
        })
        .collect();
    let asids = asids(&document);
    Policy {
        document,
        gates,
        asids,
    }
}

struct Resolver<'d, 'f, 's> {
    document: &'d Document,
    by_name: HashMap<&'d str, usize>,
    /// What each set comes to, and how deep it extends others.
    done: HashMap<usize, (Answers, usize)>,
    found: &'f mut Findings<'s>,
}

impl<'d> Resolver<'d, '_, '_> {
    /// The answers of a set, and how deep it extends others. `path`: the sets that led here, and
    /// where each names the next.
    fn set(&mut self, index: usize, path: &mut Vec<(usize, Span)>) -> (Answers, usize) {
        if let Some(done) = self.done.get(&index) {
            return done.clone();
        }
        let set = &self.document.sets[index];
        let mut answers = Answers::new();
        let mut depth = 0;
        for base in &set.extends {
            let Some(&next) = self.by_name.get(base.value.as_str()) else {
                self.unknown(base);
                continue;
            };
            if next == index || path.iter().any(|(above, _)| *above == next) {
                self.cycle(base, next, index, path);
            } else if path.len() == MAX_DEPTH {
                self.too_deep(base);
            } else {
                path.push((index, base.span));
                let (inherited, depth_of_base) = self.set(next, path);
                path.pop();
                // A set that was done before has not seen this path. What a VM names is no step.
                if depth_of_base == MAX_DEPTH && set.name.is_some() {
                    self.too_deep(base);
                } else {
                    answers.extend(inherited);
                    depth = depth.max(depth_of_base + 1);
                }
            }
        }
        let own = set.entries.iter().cloned();
        answers.extend(own.map(|entry| (entry.exit.value.code, entry)));
        self.done.insert(index, (answers.clone(), depth));
        (answers, depth)
    }

    fn too_deep(&mut self, base: &At<String>) {
        self.found
            .add(&rules::EXTENDS_DEPTH, base.span, "this extends too deep")
            .help("name the sets in one list");
    }

    fn unknown(&mut self, base: &At<String>) {
        let names: Vec<_> = self.by_name.keys().copied().collect();
        let help = if names.is_empty() {
            format!("begin it with a line `[set.{}]`", base.value.escape_debug())
        } else {
            let mut names = names;
            names.sort_unstable();
            near::suggest(&base.value, names)
        };
        self.found
            .add(
                &rules::UNKNOWN_SET,
                base.span,
                format!("unknown set `{}`", base.value.escape_debug()),
            )
            .help(help);
    }

    fn cycle(&mut self, base: &At<String>, first: usize, last: usize, path: &[(usize, Span)]) {
        let start = path.iter().position(|(index, _)| *index == first);
        let around = start.map_or(&[][..], |start| &path[start..]);
        let mut names: Vec<_> = around.iter().map(|(index, _)| *index).collect();
        names.push(last);
        let names: Vec<_> = names
            .into_iter()
            .filter_map(|index| self.document.sets[index].name.as_ref())
            .map(|name| name.value.as_str())
            .collect();
        let mut draft = self.found.add(
            &rules::EXTENDS_CYCLE,
            base.span,
            format!(
                "a set extends itself: {} -> {}",
                names.join(" -> "),
                base.value
            ),
        );
        for (_, span) in around {
            draft = draft.also(*span, "which comes from here");
        }
        draft.help("take out one of these `extends`");
    }
}

/// The answers of a VM: those of its set, and the VMM's own for what the set does not mention.
fn gates(mut answers: Answers, npt: bool, document: &Document) -> Vec<Gate> {
    let of_shadow_paging = |exit: &Exit| {
        let is_there = exit
            .feature
            .is_none_or(|feature| document.target_has(feature));
        exit.under_shadow_paging().filter(|_| !npt && is_there)
    };
    EXITS
        .iter()
        .map(|exit| match answers.remove(&exit.code) {
            Some(entry) => Gate {
                exit,
                log: is_logged(&entry.answer.value, entry.log),
                answer: entry.answer.value.clone(),
                entry: Some(entry),
            },
            None => Gate {
                exit,
                answer: Answer::Action(of_shadow_paging(exit).unwrap_or(exit.default)),
                log: false,
                entry: None,
            },
        })
        // What shadow paging is built on stays for the checks to refuse.
        .filter(|gate| {
            gate.answer != Answer::Action(Action::Pass) || of_shadow_paging(gate.exit).is_some()
        })
        .collect()
}

/// The ASID of each VM: its own, or the lowest that is free.
fn asids(document: &Document) -> Vec<Option<u32>> {
    let mut taken: Vec<u32> = document
        .vms
        .iter()
        .filter_map(|vm| vm.asid.map(|asid| asid.value))
        .collect();
    let mut given = Vec::new();
    for vm in &document.vms {
        given.push(vm.asid.map(|asid| asid.value).or_else(|| {
            let free = (1..document.machine.value.asids).find(|asid| !taken.contains(asid));
            taken.extend(free);
            free
        }));
    }
    given
}
