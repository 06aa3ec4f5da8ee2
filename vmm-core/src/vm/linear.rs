//! A guest's linear memory as the CPU itself reaches it, for descriptors and task-state segments:
//! 32-bit addresses, with the supervisor's rights whoever runs (APM 5.6).

use core::ops::Range;

use crate::addr::PAGE;
use crate::vm::Vcpu;
use crate::vm::memory::GuestMemory;
use crate::vm::walk::{self, Access, PageFault};

const ADDRESS: u64 = 0xffff_ffff;

/// Fills `bytes` from `linear` on; what is not the guest's memory reads as FFh.
///
/// # Errors
/// The page fault of the first page that may not be read.
pub fn read(
    vcpu: &Vcpu,
    memory: &mut GuestMemory,
    linear: u64,
    bytes: &mut [u8],
) -> Result<(), PageFault> {
    for (linear, range) in pieces(linear, bytes.len()) {
        let found = walk::translate_for(vcpu.save(), memory, linear, access(false))?;
        found.mark(memory, false);
        let piece = bytes.get_mut(range).unwrap_or_default();
        if memory.read(found.gpa, piece).is_none() {
            piece.fill(0xff);
        }
    }
    Ok(())
}

/// A little-endian number at `linear`.
///
/// # Errors
/// As for `read`.
pub fn read_u64(vcpu: &Vcpu, memory: &mut GuestMemory, linear: u64) -> Result<u64, PageFault> {
    let mut bytes = [0; 8];
    read(vcpu, memory, linear, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Writes `bytes` from `linear` on; what is not the guest's memory takes none.
///
/// # Errors
/// The page fault of the first page that may not be written; those before it are written then.
pub fn write(
    vcpu: &Vcpu,
    memory: &mut GuestMemory,
    linear: u64,
    bytes: &[u8],
) -> Result<(), PageFault> {
    for (linear, range) in pieces(linear, bytes.len()) {
        let found = walk::translate_for(vcpu.save(), memory, linear, access(true))?;
        found.mark(memory, true);
        let _ = memory.write(found.gpa, bytes.get(range).unwrap_or_default());
    }
    Ok(())
}

/// Whether `write` of `len` bytes would go through.
///
/// # Errors
/// The page fault that it would meet.
pub fn probe(vcpu: &Vcpu, memory: &GuestMemory, linear: u64, len: usize) -> Result<(), PageFault> {
    pieces(linear, len).try_for_each(|(linear, _)| {
        walk::translate_for(vcpu.save(), memory, linear, access(true)).map(|_| ())
    })
}

fn access(write: bool) -> Access {
    Access { write, user: false }
}

/// `len` bytes at `linear`, cut where pages end: each piece's address, and which bytes it is.
fn pieces(linear: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let mut done = 0;
    core::iter::from_fn(move || {
        let start = linear.wrapping_add(done as u64) & ADDRESS;
        let here = (len - done).min((PAGE - start % PAGE) as usize);
        let range = done..done + here;
        done += here;
        (here > 0).then_some((start, range))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Gpa;
    use crate::vm::memory::tests::leaked;

    /// Pages 0 and 1 are swapped, page 2 is read-only, page 3 is not there.
    fn paged() -> (Vcpu, GuestMemory) {
        let mut vcpu = Vcpu::new(false);
        let save = vcpu.save_mut();
        save.cr0 = 1 << 31 | 1 << 16 | 1;
        save.cr3 = 0x4000;
        let mut memory = leaked(0x6000);
        memory.write(Gpa(0x4000), &0x5003_u32.to_le_bytes());
        for (page, entry) in [0x1003_u32, 0x0003, 0x2001].into_iter().enumerate() {
            memory.write(Gpa(0x5000 + page as u64 * 4), &entry.to_le_bytes());
        }
        (vcpu, memory)
    }

    #[test]
    fn what_spans_two_pages_is_read_from_both() {
        let (vcpu, mut memory) = paged();
        write(&vcpu, &mut memory, 0xffe, &[1, 2, 3, 4]).unwrap();
        assert_eq!(memory.read_u8(Gpa(0x1fff)), Some(2));
        assert_eq!(memory.read_u8(Gpa(0)), Some(3));
        let mut bytes = [0; 4];
        read(&vcpu, &mut memory, 0xffe, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2, 3, 4]);
    }

    #[test]
    fn the_first_page_that_refuses_is_the_fault() {
        let (vcpu, mut memory) = paged();
        assert_eq!(probe(&vcpu, &memory, 0x1f00, 0x100), Ok(()));
        let read_only = PageFault {
            linear: 0x2000,
            error: 3,
        };
        assert_eq!(probe(&vcpu, &memory, 0x1f00, 0x101), Err(read_only));
        assert_eq!(read_u64(&vcpu, &mut memory, 0x2000), Ok(0));
        let absent = PageFault {
            linear: 0x3000,
            error: 0,
        };
        assert_eq!(read_u64(&vcpu, &mut memory, 0x2ffc), Err(absent));
    }
}
