//! Who called whom: the words on the stack that are return addresses, told by the call that
//! stands before the place they point at. Frame pointers would tell more surely, but cost every
//! exit a few instructions; this may also show a call that has returned, and costs nothing.
//!
//! The names of the functions are a text in the image, which the build puts there: a line each,
//! the offset from the image's start in hexadecimal, a space and the name, in order. It ends with
//! a zero byte.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use super::paging::{self, ImageLayout};

/// Callers that are shown.
const MOST: usize = 24;

/// So far up the stack callers are looked for, in bytes.
const REACH: u64 = 64 << 10;

/// Where the image and its code start, where the code ends, and where the names are; 0 as long as nobody has said.
static IMAGE: AtomicU64 = AtomicU64::new(0);
static TEXT_END: AtomicU64 = AtomicU64::new(0);
static NAMES: AtomicU64 = AtomicU64::new(0);
static NAMES_END: AtomicU64 = AtomicU64::new(0);

/// Learns where the image and its names are.
pub fn learn(image: &ImageLayout) {
    IMAGE.store(image.whole().start.0, Ordering::Relaxed);
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
        let stack: u64;
        // SAFETY: copies a register.
        unsafe {
            asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags));
        }
        let word = |at: u64| {
            paging::is_mapped(at).then(|| {
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
        let mut from = "called from";
        let mut last = 0;
        for address in callers(stack & !7, word, is_return).take(MOST) {
            let offset = address.wrapping_sub(image);
            // The call stands before the address, and may be the function's last instruction.
            let name = name(names(), offset.wrapping_sub(1)).unwrap_or("?");
            // How this very report is written is of no interest, nor what a loop left behind.
            let is_new = core::mem::replace(&mut last, address) != address;
            if is_new && !name.contains("core::fmt") && !name.contains("fmt::Display") {
                write!(f, "\n  {from} {name} (tollgate+{offset:#x})")?;
                from = "       from";
            }
        }
        Ok(())
    }
}

/// The name of the function that `address` is in, if the image knows it.
pub fn function(address: u64) -> Option<&'static str> {
    let image = IMAGE.load(Ordering::Relaxed);
    name(names(), address.checked_sub(image)?)
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
fn name(names: &str, offset: u64) -> Option<&str> {
    names
        .lines()
        .filter_map(|line| line.split_once(' '))
        .take_while(|(start, _)| u64::from_str_radix(start, 16).is_ok_and(|start| start <= offset))
        .last()
        .map(|(_, name)| name)
}

/// The words from `stack` up that are return addresses.
fn callers(
    stack: u64,
    word: impl Fn(u64) -> Option<u64>,
    is_return: impl Fn(&u64) -> bool,
) -> impl Iterator<Item = u64> {
    (0..REACH)
        .step_by(8)
        .map_while(move |offset| word(stack.checked_add(offset)?))
        .filter(is_return)
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

    fn found(stack: &[u64], from: u64) -> Vec<u64> {
        let word = |at: u64| {
            let index = usize::try_from(at.checked_sub(0x1000)?).ok()? / 8;
            stack.get(index).copied()
        };
        callers(from, word, |address| (0xa0..0xb0).contains(address)).collect()
    }

    #[test]
    fn every_word_that_is_a_return_address_is_a_caller() {
        assert_eq!(found(&[1, 0xa1, 2, 0xa2], 0x1000), [0xa1, 0xa2]);
        assert_eq!(found(&[1, 0xa1, 2, 0xa2], 0x1010), [0xa2]);
        assert_eq!(found(&[0xa1], 0x2000), [0; 0], "the stack has ended");
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
        let names = "b8 entry\n1000 vmm_core::run\n1f00 <A as B>::c\n";
        assert_eq!(name(names, 0xB7), None);
        assert_eq!(name(names, 0xB8), Some("entry"));
        assert_eq!(name(names, 0x1EFF), Some("vmm_core::run"));
        assert_eq!(name(names, 0x5000), Some("<A as B>::c"));
        assert_eq!(name("", 1), None);
        assert_eq!(name("zz x\n\n", 1), None);
    }

    proptest! {
        #[test]
        fn no_stack_whatever_keeps_it_busy_forever(
            stack in prop::collection::vec(any::<u64>(), 64), from in any::<u64>(),
        ) {
            prop_assert!(found(&stack, from).len() <= stack.len());
        }
    }
}
