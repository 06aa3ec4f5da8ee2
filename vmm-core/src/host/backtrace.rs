//! Who called whom: each function's return address lies above the room that the function takes on
//! the stack, which the compiler knows. Frame pointers would tell the same, but cost every exit a
//! few instructions; this costs nothing.
//!
//! The functions are a text in the image, which the build puts there: a line each, in order, of
//! the offset from the image's start and the room on the stack, both in hexadecimal, and the name,
//! with a space between. Assembly has no such room, but a `-`: there the first word that is a
//! return address counts, told by the call before the place that it points at. The text ends with
//! a zero byte.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use super::paging::{self, ImageLayout};

/// Callers that are shown.
const MOST: usize = 24;

/// So far up the stack a caller is looked for, in bytes.
const REACH: u64 = 64 << 10;

/// Where the image and its code start, where it ends, where the code ends, and where the names are;
/// 0 as long as nobody has said.
static IMAGE: AtomicU64 = AtomicU64::new(0);
static IMAGE_END: AtomicU64 = AtomicU64::new(0);
static TEXT_END: AtomicU64 = AtomicU64::new(0);
static NAMES: AtomicU64 = AtomicU64::new(0);
static NAMES_END: AtomicU64 = AtomicU64::new(0);

/// Learns where the image and its names are.
pub fn learn(image: &ImageLayout) {
    IMAGE.store(image.whole().start.0, Ordering::Relaxed);
    IMAGE_END.store(image.whole().end.0, Ordering::Relaxed);
    TEXT_END.store(image.text.end.0, Ordering::Relaxed);
    NAMES.store(image.symbols.start.0, Ordering::Relaxed);
    NAMES_END.store(image.symbols.end.0, Ordering::Relaxed);
}

/// The callers of whoever shows this, a line each: `NAME (tollgate+OFFSET)`, counted from the
/// image's start, whatever its place in memory.
pub struct Backtrace;

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = IMAGE.load(Ordering::Relaxed);
        if image == 0 {
            // So early, the page tables do not tell yet what can be read.
            return Ok(());
        }
        let (here, stack): (u64, u64);
        // SAFETY: copies registers.
        unsafe {
            asm!(
                "lea {}, [rip]",
                "mov {}, rsp",
                out(reg) here,
                out(reg) stack,
                options(nomem, nostack, preserves_flags),
            );
        }
        // The stack that the VMM began with is the last of the image; those for exceptions are not
        // in it.
        let image_span = image..IMAGE_END.load(Ordering::Relaxed);
        let is_stack = |at| !image_span.contains(&stack) || image_span.contains(&at);
        let word = |at: u64| {
            (is_stack(at) && paging::is_mapped(at)).then(|| {
                // SAFETY: the page is mapped, and an aligned word lies within one page.
                unsafe { (at as *const u64).read_volatile() }
            })
        };
        let code = image + LONGEST_CALL as u64..TEXT_END.load(Ordering::Relaxed);
        let is_return = |address: &u64| {
            code.contains(address) && {
                let before = (address - LONGEST_CALL as u64) as *const [u8; LONGEST_CALL];
                // SAFETY: these bytes are the image's code, which is mapped for good.
                ends_in_call(unsafe { before.read_unaligned() })
            }
        };
        let room = |address: u64| function(address)?.room;
        let mut from = "called from";
        for address in callers(here, stack, room, word, is_return).take(MOST) {
            let name = function(address - 1).map_or("?", |function| function.name);
            // How this very report is written is of no interest.
            if !name.contains("core::fmt") && !name.contains("fmt::Display") {
                let offset = address.wrapping_sub(image);
                write!(f, "\n  {from} {name} (tollgate+{offset:#x})")?;
                from = "       from";
            }
        }
        Ok(())
    }
}

/// A function of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, perhaps shortened.
    pub name: &'static str,
    /// The room that it takes on the stack below its return address, in bytes.
    room: Option<u64>,
}

/// The function that `address` is in, if the image knows it.
pub fn function(address: u64) -> Option<Function> {
    let image = IMAGE.load(Ordering::Relaxed);
    find(names(), address.checked_sub(image)?)
}

/// The image's text of names.
fn names() -> &'static str {
    let start = NAMES.load(Ordering::Relaxed);
    let bytes = NAMES_END.load(Ordering::Relaxed).saturating_sub(start) as usize;
    if start == 0 || bytes == 0 {
        return "";
    }
    // SAFETY: `learn` was told that these are constants of the image, which is mapped.
    let text = unsafe { core::slice::from_raw_parts(start as *const u8, bytes) };
    let end = text.iter().position(|byte| *byte == 0).unwrap_or(bytes);
    core::str::from_utf8(&text[..end]).unwrap_or_default()
}

/// The function that `offset` is in, by the text of names.
fn find(names: &'static str, offset: u64) -> Option<Function> {
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    let line = |line: &'static str| {
        let (start, rest) = line.split_once(' ')?;
        let (room, name) = rest.split_once(' ')?;
        let room = number(room);
        Some((number(start)?, Function { name, room }))
    };
    names
        .lines()
        .map_while(line)
        .take_while(|(start, _)| *start <= offset)
        .last()
        .map(|(_, function)| function)
}

/// The return addresses from the innermost on, of code at `at` whose stack pointer is `stack`.
fn callers(
    mut at: u64,
    mut stack: u64,
    room: impl Fn(u64) -> Option<u64>,
    word: impl Fn(u64) -> Option<u64>,
    is_return: impl Fn(&u64) -> bool,
) -> impl Iterator<Item = u64> {
    core::iter::from_fn(move || {
        let frame = stack.checked_add(room(at).unwrap_or(0))?;
        let mut words = (0..REACH).step_by(8).map_while(|offset| {
            let place = frame.checked_add(offset)?;
            Some((place, word(place)?))
        });
        let (place, address) = words.find(|(_, word)| is_return(word))?;
        // The call stands before the address, and may be the function's last instruction.
        (at, stack) = (address.checked_sub(1)?, place.checked_add(8)?);
        Some(address)
    })
}

/// The longest form of CALL that the compiler uses: REX, FF /2 with a 32-bit displacement.
const LONGEST_CALL: usize = 7;

/// Whether these bytes end in a near CALL (APM volume 3): E8 and a displacement, or FF /2 with a
/// register, or with memory at an 8-bit or a 32-bit displacement.
fn ends_in_call(bytes: [u8; LONGEST_CALL]) -> bool {
    let is_slash_2 = |modrm: u8| modrm >> 3 & 7 == 2;
    let [_, a, b, _, d, e, f] = bytes;
    let relative = b == 0xe8;
    let register = e == 0xff && is_slash_2(f) && f >= 0xc0;
    let plain = e == 0xff && is_slash_2(f) && f < 0x40;
    let byte_displacement = d == 0xff && is_slash_2(e) && e >> 6 == 1;
    let word_displacement = a == 0xff && is_slash_2(b) && (b >> 6 == 2 || b == 0x15);
    // With an index the ModRM byte has a SIB byte behind it.
    let indexed = d == 0xff && e == 0x14;
    let indexed_word = bytes[0] == 0xff && a == 0x94;
    relative
        || register
        || plain
        || byte_displacement
        || word_displacement
        || indexed
        || indexed_word
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const STACK: u64 = 0x1000;

    /// The callers of code at `at`, on a stack of these words. Code is from a0h to afh; a function
    /// of the code from a8h on takes 16 bytes of the stack.
    fn found(at: u64, stack: &[u64]) -> Vec<u64> {
        let word = |place: u64| {
            let index = usize::try_from(place.checked_sub(STACK)?).ok()? / 8;
            stack.get(index).copied()
        };
        let room = |at: u64| (at >= 0xa8).then_some(16);
        callers(at, STACK, room, word, |address| {
            (0xa0..0xb0).contains(address)
        })
        .collect()
    }

    #[test]
    fn a_caller_is_found_above_the_room_that_a_function_takes() {
        let old_calls = 0xae;
        assert_eq!(
            found(0xa8, &[old_calls, 1, 0xaa, old_calls, 2, 0xac]),
            [0xaa, 0xac]
        );
    }

    #[test]
    fn where_the_room_is_not_known_the_next_return_address_is_the_caller() {
        assert_eq!(found(0xa0, &[1, 2, 0xa1, 3, 0xa2]), [0xa1, 0xa2]);
        assert_eq!(found(0xa0, &[]), [0; 0], "the stack has ended");
    }

    #[test]
    fn a_return_address_stands_behind_a_call() {
        for call in [
            [0, 0, 0xe8, 1, 2, 3, 4],          // call rel32
            [0, 0, 0, 0, 0, 0xff, 0xd0],       // call rax
            [0, 0, 0, 0, 0x41, 0xff, 0xd7],    // call r15
            [0, 0, 0, 0, 0, 0xff, 0x10],       // call [rax]
            [0, 0, 0, 0, 0xff, 0x50, 0x18],    // call [rax + 18h]
            [0, 0xff, 0x90, 0, 1, 0, 0],       // call [rax + 100h]
            [0, 0xff, 0x15, 0, 1, 0, 0],       // call [rip + 100h]
            [0, 0, 0, 0x42, 0xff, 0x14, 0xf8], // call [rax + r15*8]
            [0xff, 0x94, 0x24, 0, 1, 0, 0],    // call [rsp + 100h]
        ] {
            assert!(ends_in_call(call), "{call:x?}");
        }
        for other in [
            [0; 7],
            [0, 0xe8, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0xff, 0xe0],
        ] {
            assert!(!ends_in_call(other), "{other:x?}");
        }
    }

    #[test]
    fn an_address_is_in_the_last_function_that_starts_before_it() {
        let names = "b8 - entry\n1000 28 vmm_core::run\n1f00 0 <A as B>::c\n";
        let name = |offset| Some(find(names, offset)?.name);
        assert_eq!(name(0xB7), None);
        assert_eq!(name(0xB8), Some("entry"));
        assert_eq!(name(0x1EFF), Some("vmm_core::run"));
        assert_eq!(name(0x5000), Some("<A as B>::c"));
        let room = |offset| find(names, offset)?.room;
        assert_eq!(
            [0xB8, 0x1000, 0x1F00].map(room),
            [None, Some(0x28), Some(0)]
        );
        assert_eq!(find("", 1), None);
        assert_eq!(find("zz x\n\n", 1), None);
    }

    proptest! {
        #[test]
        fn no_stack_whatever_keeps_it_busy_forever(
            stack in prop::collection::vec(any::<u64>(), 64), at in any::<u64>(),
        ) {
            prop_assert!(found(at, &stack).len() <= stack.len());
        }
    }
}
