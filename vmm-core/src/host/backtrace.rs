//! Who called whom: the return addresses on the stack, found by the frame pointers that every
//! function of the VMM keeps (System V ABI, AMD64, 3.2.2).
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

/// A caller's frame is at most this far up, in bytes: no stack is longer, and past a guest's turn
/// the frame pointer is the guest's.
const REACH: u64 = 256 << 10;

/// Where the image starts, and where the names are; 0 as long as nobody has said.
static IMAGE: AtomicU64 = AtomicU64::new(0);
static NAMES: AtomicU64 = AtomicU64::new(0);
static NAMES_END: AtomicU64 = AtomicU64::new(0);

/// Learns where the image and its names are.
pub fn learn(image: &ImageLayout) {
    IMAGE.store(image.whole().start.0, Ordering::Relaxed);
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
        let frame: u64;
        // SAFETY: copies a register.
        unsafe {
            asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags));
        }
        let word = |at: u64| {
            (at.is_multiple_of(8) && paging::is_mapped(at)).then(|| {
                // SAFETY: the page is mapped, and an aligned word lies within one page.
                unsafe { (at as *const u64).read_volatile() }
            })
        };
        let mut from = "called from";
        for address in callers(frame, word).take(MOST) {
            let offset = address.wrapping_sub(image);
            // The call stands before the address, and may be the function's last instruction.
            let name = name(names(), offset.wrapping_sub(1)).unwrap_or("?");
            write!(f, "\n  {from} {name} (tollgate+{offset:#x})")?;
            from = "       from";
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

/// The return addresses from the frame at `frame` outwards. A frame is two words: where the
/// caller's frame is, further up, and where the caller goes on.
fn callers(frame: u64, word: impl Fn(u64) -> Option<u64>) -> impl Iterator<Item = u64> {
    let mut next = Some(frame);
    core::iter::from_fn(move || {
        let frame = next.take()?;
        let address = word(frame.checked_add(8)?).filter(|address| *address != 0)?;
        next = word(frame).filter(|outer| (1..REACH).contains(&outer.wrapping_sub(frame)));
        Some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn found(stack: &[u64], frame: u64) -> Vec<u64> {
        let word = |at: u64| {
            let index = usize::try_from(at.checked_sub(0x1000)?).ok()? / 8;
            stack.get(index).copied()
        };
        callers(frame, word).collect()
    }

    #[test]
    fn frames_are_followed_outwards_to_the_first() {
        // Frames at 1000h, 1020h and 1030h; the last has no caller.
        let stack = [0x1020, 0xA, 7, 7, 0x1030, 0xB, 0, 0xC];
        assert_eq!(found(&stack, 0x1000), [0xA, 0xB, 0xC]);
        assert_eq!(found(&[0x1000, 0xA], 0x1000), [0xA], "a ring is cut");
        assert_eq!(found(&[0, 0], 0x1000), [0; 0]);
        assert_eq!(
            found(&[0x10_0000, 0xA], 0x1000),
            [0xA],
            "a guest's is not followed"
        );
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
            stack in prop::collection::vec(prop_oneof![0x0FF0u64..0x1200, any::<u64>()], 64),
            frame in prop_oneof![0x1000u64..0x1200, any::<u64>()],
        ) {
            prop_assert!(found(&stack, frame).len() <= 0x200);
        }
    }
}
