//! The journal as it is kept: written in a run, read in a replay.
//!
//! There is one, for the CPU and the VMs are one after the other; what is asked while nothing
//! happens to a VM goes past it.

use core::fmt::{self, Display, Write};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use heapless::String;
use spin::Mutex;

use super::state::Words;
use super::{Birth, Happening};
use crate::addr::Gpa;
use crate::exits::Outcome;
use crate::host::record;
use crate::policy::VmPolicy;
use crate::vm::Instance;
use intercepts::vmcb::Control;

/// What a VM's state was when it was last written down.
pub type Seen = Words;

/// What is written and not yet sent, in bytes.
const ROOM: usize = 1 << 20;
/// Longer than any item but those about memory, which are taken apart.
const ITEM: usize = 16 << 10;
/// So many bytes of memory go into one item.
const PIECE: usize = 1 << 10;
/// Items in one record.
const BATCH: usize = 64;

/// Whoever has a journal to be replayed.
pub trait Reader: Sync {
    /// Calls `take` with the recorded answer to `question`; not at all if the journal goes on
    /// with something else.
    fn ask(&self, question: &dyn Display, take: &mut dyn FnMut(&str));

    /// Compares what came out with the recorded.
    fn tell(&self, item: &dyn Display);
}

#[derive(Clone, Copy)]
enum Use {
    None,
    Written,
    Read(&'static dyn Reader),
}

static USE: Mutex<Use> = Mutex::new(Use::None);
/// Something happens to a VM now.
static OPEN: AtomicBool = AtomicBool::new(false);
static PAGES: Mutex<String<ROOM>> = Mutex::new(String::new());

/// Has the journal written from now on.
pub fn begin() {
    *USE.lock() = Use::Written;
}

/// Replays: from now on `reader` says what comes from outside.
pub fn read_from(reader: &'static dyn Reader) {
    *USE.lock() = Use::Read(reader);
}

/// How the journal is used.
fn in_use() -> Use {
    *USE.lock()
}

/// How the journal is used by whoever asks within something that happens.
fn within() -> Use {
    if OPEN.load(Relaxed) {
        in_use()
    } else {
        Use::None
    }
}

/// Whether what is written is to be sent.
pub fn is_full() -> bool {
    PAGES.lock().len() > ROOM / 2
}

/// Sends what is written.
pub fn send() {
    let mut pages = PAGES.lock();
    let mut lines = pages.lines().peekable();
    while lines.peek().is_some() {
        record::send("journal", |record| {
            record.texts("items", lines.by_ref().take(BATCH));
        });
    }
    pages.clear();
}

/// Whether this is no run but its replay.
pub fn is_replay() -> bool {
    matches!(in_use(), Use::Read(_))
}

fn write(item: fmt::Arguments<'_>) {
    if PAGES.lock().len() > ROOM - ITEM {
        send();
    }
    let mut pages = PAGES.lock();
    // There is room for it, as `ITEM` is.
    let _ = writeln!(pages, "{item}");
}

fn tell(how: Use, item: fmt::Arguments<'_>) {
    match how {
        Use::None => {}
        Use::Written => write(item),
        Use::Read(reader) => reader.tell(&item),
    }
}

/// An answer of numbers.
fn numbers<const N: usize>(
    question: fmt::Arguments<'_>,
    take: impl FnOnce() -> [u64; N],
) -> [u64; N] {
    match within() {
        Use::None => take(),
        Use::Written => {
            let answer = take();
            write(format_args!("{question} ={}", Numbers(&answer)));
            answer
        }
        Use::Read(reader) => {
            let mut answer = [0; N];
            reader.ask(&question, &mut |text| {
                let words = text.split_ascii_whitespace();
                for (place, word) in answer.iter_mut().zip(words) {
                    *place = u64::from_str_radix(word, 16).unwrap_or(0);
                }
            });
            answer
        }
    }
}

struct Numbers<'n>(&'n [u64]);

impl Display for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|number| write!(f, " {number:x}"))
    }
}

/// Bytes as digits.
struct Hex<'b>(&'b [u8]);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An answer of bytes, at most [`PIECE`] of them.
fn bytes(question: fmt::Arguments<'_>, answer: &mut [u8], how: Use) {
    match how {
        Use::None => {}
        Use::Written => write(format_args!("{question} = {}", Hex(answer))),
        Use::Read(reader) => {
            answer.fill(0);
            reader.ask(&question, &mut |text| {
                let (pairs, _) = text.as_bytes().as_chunks::<2>();
                for (place, pair) in answer.iter_mut().zip(pairs) {
                    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16).unwrap_or(0));
                    *place = (high << 4 | low) as u8;
                }
            });
        }
    }
}

/// Something happens to `instance`: what it is given, `body`, what came of it.
fn happen<T>(
    what: &dyn Display,
    instance: &mut Instance,
    body: impl FnOnce(&mut Instance) -> T,
    number: impl FnOnce(&T) -> u64,
) -> T {
    let how = in_use();
    if matches!(how, Use::None) {
        return body(instance);
    }
    let asid = instance.vm.policy.asid;
    tell(how, format_args!("{what} {asid:x}"));
    let mut before = core::mem::take(&mut instance.vm.seen);
    match how {
        Use::Read(reader) => reader.ask(&"given", &mut |text| before.give(text, instance)),
        _ => {
            let now = Words::of(instance);
            write(format_args!("given ={}", now.since(&before)));
            before = now;
        }
    }
    OPEN.store(true, Relaxed);
    let result = body(instance);
    OPEN.store(false, Relaxed);
    let after = Words::of(instance);
    let changes = after.since(&before);
    tell(how, format_args!("done {:x}{changes}", number(&result)));
    instance.vm.seen = after;
    result
}

pub fn exit(instance: &mut Instance, body: impl FnOnce(&mut Instance) -> Outcome) -> Outcome {
    let outcome = happen(&Happening::Exit, instance, body, |outcome| *outcome as u64);
    // Nothing is sent on the way back to the guest.
    if is_full() { Outcome::Leave } else { outcome }
}

pub fn call(
    what: Happening,
    instance: &mut Instance,
    body: impl FnOnce(&mut Instance) -> bool,
) -> bool {
    happen(&what, instance, body, |result| u64::from(*result))
}

/// A VM is being made from here on, under a policy whose intercepts come out.
pub fn birth_begins(birth: &Birth, policy: &VmPolicy) {
    let how = in_use();
    tell(how, format_args!("{birth} {:x}", policy.asid));
    let mut control = Control::zeroed();
    (policy.init_vmcb)(&mut control);
    let Control {
        intercept_cr_read: cr_read,
        intercept_cr_write: cr_write,
        intercept_dr_read: dr_read,
        intercept_dr_write: dr_write,
        intercept_exceptions: exceptions,
        intercept_misc1: misc1,
        intercept_misc2: misc2,
        intercept_misc3: misc3,
        ..
    } = control;
    tell(
        how,
        format_args!(
            "intercepts {cr_read:x} {cr_write:x} {dr_read:x} {dr_write:x} {exceptions:x} {misc1:x} \
             {misc2:x} {misc3:x}"
        ),
    );
    OPEN.store(true, Relaxed);
}

/// It is made.
pub fn birth_ends() {
    OPEN.store(false, Relaxed);
    tell(in_use(), format_args!("done 0"));
}

pub fn tsc(take: impl FnOnce() -> u64) -> u64 {
    let [ticks] = numbers(format_args!("tsc"), || [take()]);
    ticks
}

pub fn cpuid(leaf: u32, subleaf: u32, take: impl FnOnce() -> [u32; 4]) -> [u32; 4] {
    let question = format_args!("cpuid {leaf:x} {subleaf:x}");
    numbers(question, || take().map(u64::from)).map(|register| register as u32)
}

pub fn msr(msr: u32, take: impl FnOnce() -> u64) -> u64 {
    let [value] = numbers(format_args!("rdmsr {msr:x}"), || [take()]);
    value
}

pub fn port(port: u16, bytes: u8, take: impl FnOnce() -> u32) -> u32 {
    let question = format_args!("in {port:x} {bytes:x}");
    let [value] = numbers(question, || [take().into()]);
    value as u32
}

pub fn breakpoint(number: u8, take: impl FnOnce() -> u64) -> u64 {
    let [value] = numbers(format_args!("dr {number:x}"), || [take()]);
    value
}

pub fn memory<const N: usize>(gpa: Gpa, take: impl FnOnce() -> [u8; N]) -> [u8; N] {
    let how = within();
    let mut answer = [0; N];
    if !matches!(how, Use::Read(_)) {
        answer = take();
    }
    bytes(format_args!("load {:x} {N:x}", gpa.0), &mut answer, how);
    answer
}

pub fn much_memory(gpa: Gpa, answer: &mut [u8], take: impl FnOnce(&mut [u8])) {
    let how = within();
    if !matches!(how, Use::Read(_)) {
        take(answer);
    }
    for (piece, at) in answer.chunks_mut(PIECE).zip((gpa.0..).step_by(PIECE)) {
        bytes(format_args!("load {at:x} {:x}", piece.len()), piece, how);
    }
}

/// Bytes of the page that code was last found on.
pub fn code<const N: usize>(offset: u64, take: impl FnOnce() -> [u8; N]) -> [u8; N] {
    let how = within();
    let mut answer = [0; N];
    if !matches!(how, Use::Read(_)) {
        answer = take();
    }
    bytes(format_args!("code {offset:x} {N:x}"), &mut answer, how);
    answer
}

pub fn wrote_memory(gpa: Gpa, written: &[u8]) {
    for (piece, at) in written.chunks(PIECE).zip((gpa.0..).step_by(PIECE)) {
        tell(within(), format_args!("store {at:x} {}", Hex(piece)));
    }
}

pub fn zeroed(gpa: Gpa, bytes: u64) {
    tell(within(), format_args!("zero {:x} {bytes:x}", gpa.0));
}

/// Says what goes to the machine; in a replay it goes nowhere.
fn act(item: fmt::Arguments<'_>, act: impl FnOnce()) {
    tell(within(), item);
    if !is_replay() {
        act();
    }
}

pub fn wrote_msr(msr: u32, value: u64, write: impl FnOnce()) {
    act(format_args!("wrmsr {msr:x} {value:x}"), write);
}

pub fn wrote_port(port: u16, bytes: u8, value: u32, write: impl FnOnce()) {
    act(format_args!("out {port:x} {bytes:x} {value:x}"), write);
}

pub fn wrote_back(write: impl FnOnce()) {
    act(format_args!("wbinvd"), write);
}

/// The guest says something; true if that is to go nowhere else.
pub fn said(text: &[u8]) -> bool {
    tell(within(), format_args!("say {}", Hex(text)));
    is_replay()
}

#[cfg(test)]
mod tests {
    use std::string::{String as Text, ToString};
    use std::sync::Mutex as Lock;
    use std::vec::Vec;

    use super::*;
    use crate::exits::tests::any_guest;

    /// A journal in memory; what differs is kept.
    #[derive(Default)]
    struct Told {
        items: Lock<Vec<Text>>,
        differs: Lock<Option<(Text, Option<Text>)>>,
    }

    impl Reader for Told {
        fn ask(&self, question: &dyn Display, take: &mut dyn FnMut(&str)) {
            let question = std::format!("{question} =");
            let next = self.items.lock().unwrap().pop();
            match next
                .as_deref()
                .and_then(|item| item.strip_prefix(&question))
            {
                Some(answer) => take(answer.trim_start()),
                None => {
                    self.differs.lock().unwrap().get_or_insert((question, next));
                }
            }
        }

        fn tell(&self, item: &dyn Display) {
            let next = self.items.lock().unwrap().pop();
            if next.as_deref() != Some(&item.to_string()) {
                self.differs
                    .lock()
                    .unwrap()
                    .get_or_insert((item.to_string(), next));
            }
        }
    }

    /// One test, since there is one journal.
    #[test]
    fn a_journal_that_is_replayed_asks_and_tells_the_same_and_a_change_is_seen() {
        let mut guest = any_guest();
        guest.vcpu.control_mut().exit_code = intercepts::ExitCode::Cpuid as u64;
        begin();
        assert!(!guest.happens(Happening::Exit));
        guest.happens(Happening::LeaveOut(5));
        let text = Text::from(PAGES.lock().as_str());
        assert!(text.starts_with("exit 1\ngiven = "), "{text}");
        assert!(text.contains("load 8000 "), "the instruction: {text}");

        for changed in [false, true] {
            let reader: &Told = std::boxed::Box::leak(std::boxed::Box::default());
            let items: Vec<_> = text.lines().rev().map(Text::from).collect();
            *reader.items.lock().unwrap() = items;
            read_from(reader);
            let mut again = any_guest();
            again.happens(Happening::Exit);
            again.happens(Happening::LeaveOut(5 + u64::from(changed)));
            let differs = reader.differs.lock().unwrap().clone();
            assert_eq!(differs.is_some(), changed, "{differs:?}");
            assert_eq!(again.vcpu.save().rip, guest.vcpu.save().rip);
        }
        *USE.lock() = Use::None;
    }
}
