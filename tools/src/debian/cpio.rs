//! An archive in the form that Linux unpacks at its start: cpio, "newc".
//!
//! Each file is a header of hexadecimal numbers, its name, and its contents, the latter two
//! filled up to whole words; a file called `TRAILER!!!` ends it (the kernel's documentation,
//! "initramfs buffer format").

/// What a file is, in the bits of a Unix mode.
const FOLDER: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const DEVICE: u32 = 0o020_000;

/// An archive in the making. Everything in it belongs to root and has no date.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

impl Archive {
    /// Adds a folder.
    pub fn folder(&mut self, name: &str) {
        self.add(name, FOLDER | 0o755, (0, 0), &[]);
    }

    /// Adds a file that can be executed.
    pub fn program(&mut self, name: &str, contents: &[u8]) {
        self.add(name, REGULAR | 0o755, (0, 0), contents);
    }

    /// Adds a character device with its numbers.
    pub fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.add(name, DEVICE | 0o600, (major, minor), &[]);
    }

    /// The archive, whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn add(&mut self, name: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.files += 1;
        let fields = [
            self.files,
            mode,
            0, // user
            0, // group
            1, // links
            0, // date
            contents.len() as u32,
            0, // the device that it lies on, major and minor
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0, // no checksum
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes().chain([0]));
        self.align();
        self.bytes.extend(contents);
        self.align();
    }

    fn align(&mut self) {
        let whole = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(whole, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, mode and contents of each file, read as the kernel reads them.
    fn read(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut files = Vec::new();
        let mut at = 0;
        while at < archive.len() {
            assert_eq!(&archive[at..at + 6], b"070701");
            let field = |index: usize| {
                let start = at + 6 + 8 * index;
                let text = std::str::from_utf8(&archive[start..start + 8]).expect("digits");
                u32::from_str_radix(text, 16).expect("a number")
            };
            let (size, name_size) = (field(6) as usize, field(11) as usize);
            let name = &archive[at + 110..at + 110 + name_size - 1];
            let start = (at + 110 + name_size).next_multiple_of(4);
            let name = String::from_utf8(name.to_vec()).expect("a name");
            files.push((name, field(1), archive[start..start + size].to_vec()));
            at = (start + size).next_multiple_of(4);
        }
        files
    }

    #[test]
    fn what_goes_in_is_read_back_whatever_its_length() {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.device("dev/console", 5, 1);
        for length in 0..9 {
            archive.program(&"x".repeat(length + 1), &vec![b'y'; length]);
        }
        let files = read(&archive.finish());
        assert_eq!(files[0], ("dev".into(), 0o040_755, Vec::new()));
        assert_eq!(files[1].1, 0o020_600);
        for (length, file) in files[2..11].iter().enumerate() {
            assert_eq!(file.0.len(), length + 1);
            assert_eq!(file.2.len(), length);
        }
        assert_eq!(files[11].0, "TRAILER!!!");
    }
}
