//! The bytes of a VMCB from a dump of them: binary, or hexadecimal as the VMM's log, `xxd`,
//! `hexdump` and `od -A x` write it, or nothing but digits.

use super::dump::BYTES;

/// What a line of the VMM's log begins with, before the offset.
const MARK: &str = "vmcb+";

/// How many digits a number has at least that is an offset without a colon behind it.
const OFFSET_DIGITS: usize = 5;

/// Reads a dump. What a hexadecimal dump leaves out is zero; of several in a log the last counts.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(dump: &[u8]) -> Result<[u8; BYTES], String> {
    // Text has no byte of zero; a VMCB has many.
    let text = std::str::from_utf8(dump).ok();
    let Some(text) = text.filter(|text| !text.contains('\0')) else {
        return dump.try_into().map_err(|_| {
            format!(
                "neither text nor a VMCB in binary: a VMCB has {BYTES} bytes, this has {}",
                dump.len()
            )
        });
    };
    let mut reader = Reader {
        vmcb: [0; BYTES],
        is_log: text.contains(MARK),
        has_offsets: false,
        next: 0,
        row_bytes: 0,
        is_repeated: false,
    };
    for line in text.lines() {
        reader.read(line)?;
    }
    reader.end()
}

/// What has been read so far.
struct Reader {
    vmcb: [u8; BYTES],
    is_log: bool,
    /// Whether rows begin with their offset.
    has_offsets: bool,
    /// Where the next row begins, unless it says so itself.
    next: usize,
    /// The bytes of the row that ends at `next`.
    row_bytes: usize,
    /// Whether that row is repeated up to the next offset, as a line of `*` says.
    is_repeated: bool,
}

impl Reader {
    fn read(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if self.is_log {
            let row = line.split_once(MARK).and_then(|(_, row)| behind_colon(row));
            return row.map_or(Ok(()), |(offset, bytes)| self.put(offset, &bytes));
        }
        if line == "*" {
            self.is_repeated = true;
        } else if let Some((offset, bytes)) = behind_colon(line).or_else(|| behind_offset(line)) {
            self.has_offsets = true;
            self.put(offset, &bytes)?;
        } else if let Some(end) = offset_alone(line).filter(|_| self.has_offsets) {
            self.go_to(end)?;
            self.row_bytes = 0;
        } else if let Some(bytes) = digits(line) {
            self.put(self.next, &bytes)?;
        }
        Ok(())
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<(), String> {
        if self.is_log && offset < self.next {
            // Offsets start again: another dump.
            self.vmcb = [0; BYTES];
        }
        self.go_to(offset)?;
        let end = offset + bytes.len();
        let place = self.vmcb.get_mut(offset..end);
        place.ok_or_else(|| beyond(end))?.copy_from_slice(bytes);
        (self.next, self.row_bytes) = (end, bytes.len());
        Ok(())
    }

    /// Goes on at an offset; a row that is repeated fills what is before it.
    fn go_to(&mut self, offset: usize) -> Result<(), String> {
        if offset > BYTES {
            return Err(beyond(offset));
        }
        if std::mem::take(&mut self.is_repeated) {
            for at in self.next..offset {
                self.vmcb[at] = self.vmcb[at - self.row_bytes];
            }
        }
        self.next = offset;
        Ok(())
    }

    fn end(mut self) -> Result<[u8; BYTES], String> {
        if self.next == 0 {
            return Err("there is no VMCB in it: no line of hexadecimal bytes".to_owned());
        }
        self.go_to(BYTES)?;
        Ok(self.vmcb)
    }
}

fn beyond(offset: usize) -> String {
    format!(
        "offset {offset:#x} is beyond a VMCB's {BYTES} bytes (with od, -A x makes offsets hexadecimal)"
    )
}

/// `060: 0f 00 …`, `00000060: 0f00 …  …`
fn behind_colon(line: &str) -> Option<(usize, Vec<u8>)> {
    let (offset, row) = line.split_once(':')?;
    let offset = usize::from_str_radix(offset, 16).ok()?;
    // Two blanks come before the characters that the bytes are.
    let row = row.trim_start().split("  ").next()?;
    Some((offset, digits(row)?))
}

/// `00000060  0f 00 …  |….|`, or `000060 000f 0000 …`: numbers of one size, the low byte first.
fn behind_offset(line: &str) -> Option<(usize, Vec<u8>)> {
    // A bar or an arrow comes before the characters that the bytes are.
    let mut words = line.split(['|', '>']).next()?.split_whitespace();
    let offset = words.next()?;
    let numbers: Vec<&str> = words.collect();
    let size = numbers.first()?.len();
    // Among groups of its own size the first is no offset.
    if offset.len() < OFFSET_DIGITS || offset.len() == size {
        return None;
    }
    let mut bytes = Vec::new();
    for number in numbers {
        bytes.extend(digits(number)?.iter().rev());
    }
    Some((usize::from_str_radix(offset, 16).ok()?, bytes))
}

/// `00001000`, as `hexdump` and `od` end a dump.
fn offset_alone(line: &str) -> Option<usize> {
    let is_offset = (OFFSET_DIGITS..=8).contains(&line.len());
    usize::from_str_radix(line, 16).ok().filter(|_| is_offset)
}

/// Bytes in hexadecimal, with blanks between them or not.
fn digits(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if digits.is_empty() {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| {
            let pair = <[u8; 2]>::try_from(pair).ok()?;
            let pair = std::str::from_utf8(&pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn written(vmcb: &[u8], line: impl Fn(usize, &[u8]) -> String) -> String {
        vmcb.chunks(16)
            .enumerate()
            .filter(|(_, row)| row.iter().any(|byte| *byte != 0))
            .map(|(index, row)| line(index * 16, row))
            .collect()
    }

    fn spaced(row: &[u8]) -> String {
        row.iter().map(|byte| format!(" {byte:02x}")).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_way_to_write_a_dump_is_read(bytes in vec(any::<u8>(), BYTES)) {
            let xxd = |row: &[u8]| -> String {
                row.chunks(2).map(|pair| format!(" {:02x}{:02x}", pair[0], pair[1])).collect()
            };
            let words = |row: &[u8]| -> String {
                row.chunks(2).map(|pair| format!(" {:02x}{:02x}", pair[1], pair[0])).collect()
            };
            for dump in [
                bytes.clone(),
                written(&bytes, |at, row| format!("error: vmcb+{at:03x}:{}\n", spaced(row))).into(),
                written(&bytes, |at, row| format!("{at:08x}:{}  ab cd\n", xxd(row))).into(),
                written(&bytes, |at, row| format!("{at:08x} {}  |beef|\n", spaced(row))).into(),
                written(&bytes, |at, row| format!("{at:07x}{}\n", words(row))).into(),
                written(&bytes, |_, row| format!("{}\n", xxd(row).replace(' ', ""))).into(),
                bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>().into_bytes(),
            ] {
                prop_assert_eq!(&read(&dump).unwrap()[..], &bytes[..]);
            }
        }

        #[test]
        fn no_text_breaks_the_reader(text in "([0-9a-f*: |]{0,12}\n){0,8}|\\PC*") {
            let _ = read(text.as_bytes());
        }
    }

    #[test]
    fn of_several_dumps_in_a_log_the_last_counts() {
        let log = "demo| hello\nerror: vmcb+000: 01\nerror: vmcb+010: 02\n\
                   error: vmcb+000: 03\nerror: bye\n";
        let vmcb = read(log.as_bytes()).unwrap();
        assert_eq!((vmcb[0], vmcb[0x10]), (3, 0));
    }

    #[test]
    fn a_row_is_repeated_up_to_the_next_offset_or_the_end() {
        let vmcb = read(b"00000  01 02\n*\n00006  03\n").unwrap();
        assert_eq!(vmcb[..8], [1, 2, 1, 2, 1, 2, 3, 0]);
        let vmcb = read(b"00000  01 02\n*\n00005\n").unwrap();
        assert_eq!(vmcb[..8], [1, 2, 1, 2, 1, 0, 0, 0]);
        assert_eq!(read(b"00000  07\n*\n").unwrap(), [7; BYTES]);
    }

    #[test]
    fn groups_of_eight_digits_are_bytes_and_none_of_them_an_offset() {
        let vmcb = read(b"0f000000 00000001\n00000002 03000000\n").unwrap();
        assert_eq!((vmcb[0], vmcb[7], vmcb[11], vmcb[12]), (0xf, 1, 2, 3));
    }

    #[test]
    fn text_as_long_as_a_vmcb_is_text() {
        let dump = format!("{:<BYTES$}", "vmcb+058: 01\n");
        assert_eq!(read(dump.as_bytes()).unwrap()[0x58], 1);
    }

    #[test]
    fn what_is_no_dump_is_refused_in_words() {
        let refused = |dump: &[u8]| read(dump).unwrap_err();
        assert!(refused(b"hello").contains("no line of hexadecimal"));
        assert!(refused(b"*").contains("no line of hexadecimal"));
        assert!(refused(&[0xff; 100]).contains("this has 100"));
        assert!(refused(b"vmcb+fff: 01 02").contains("beyond"));
        // Offsets in octal.
        assert!(refused(b"0000000 00 00\n*\n0010000\n").contains("-A x"));
    }
}
