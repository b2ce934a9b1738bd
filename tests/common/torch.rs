//! Writes files like those of `torch.save`, and archives and pickles that it never writes.

use llava_web::format::source::Memory;
use safetensors::SafeTensors;

/// Values that tensors lie in: its file under `data/`, torch's name of the type, bytes per value, the values.
pub struct Storage {
    pub key: String,
    pub kind: &'static str,
    pub value_bytes: usize,
    pub bytes: Vec<u8>,
}

/// A view of a storage.
pub struct Tensor {
    pub name: String,
    pub storage: usize,
    pub offset: u32,
    pub shape: Vec<u32>,
    pub strides: Vec<u32>,
}

/// A state dict, to be changed before it is written.
#[derive(Default)]
pub struct StateDict {
    pub storages: Vec<Storage>,
    pub tensors: Vec<Tensor>,
}

/// Row-major strides.
pub fn strides(shape: &[u32]) -> Vec<u32> {
    (0..shape.len()).map(|side| shape[side + 1..].iter().product()).collect()
}

impl StateDict {
    /// Adds a contiguous tensor in a storage of its own.
    pub fn add(&mut self, name: &str, kind: &'static str, shape: &[u32], bytes: Vec<u8>) {
        let count = shape.iter().product::<u32>().max(1) as usize;
        let key = self.storages.len().to_string();
        let (name, storage, value_bytes) = (name.to_string(), self.storages.len(), bytes.len() / count);
        self.storages.push(Storage { key, kind, value_bytes, bytes });
        self.tensors.push(Tensor { name, storage, offset: 0, shape: shape.to_vec(), strides: strides(shape) });
    }

    /// The pickle, as Python's protocol 2 writes it.
    pub fn pickle(&self) -> Vec<u8> {
        let mut p = Pickle::new();
        p.ordered_dict().op(b"(");
        for tensor in &self.tensors {
            let storage = &self.storages[tensor.storage];
            p.text(&tensor.name).global("torch._utils", "_rebuild_tensor_v2").op(b"((").text("storage");
            p.global("torch", storage.kind).text(&storage.key).text("cpu");
            p.int((storage.bytes.len() / storage.value_bytes) as u32).op(b"tQ").int(tensor.offset);
            p.tuple(&tensor.shape).tuple(&tensor.strides).op(b"\x89").ordered_dict().op(b"tR");
        }
        p.op(b"u.");
        p.0
    }

    /// The archive: the pickle, what is written beside it, and the values.
    pub fn archive(&self) -> Archive {
        let mut archive = Archive::default();
        archive.add("m/data.pkl", self.pickle());
        archive.add("m/byteorder", b"little".to_vec());
        for storage in &self.storages {
            archive.add(&format!("m/data/{}", storage.key), storage.bytes.clone());
        }
        archive.add("m/version", b"3\n".to_vec());
        archive
    }

    /// The tensors of a safetensors file.
    pub fn from_safetensors(bytes: &[u8]) -> Self {
        let mut dict = Self::default();
        for (name, view) in SafeTensors::deserialize(bytes).unwrap().iter() {
            let kind = match view.dtype() {
                safetensors::Dtype::F32 => "FloatStorage",
                safetensors::Dtype::F16 => "HalfStorage",
                safetensors::Dtype::BF16 => "BFloat16Storage",
                other => panic!("{other:?}"),
            };
            let shape: Vec<u32> = view.shape().iter().map(|&side| side as u32).collect();
            dict.add(name, kind, &shape, view.data().to_vec());
        }
        dict
    }
}

/// The same directory with every safetensors file as a file of torch.
pub fn pickled(files: &Memory) -> Memory {
    let convert = |(name, bytes): (&String, &Vec<u8>)| match name.strip_suffix("model.safetensors") {
        Some(folder) => (format!("{folder}pytorch_model.bin"), StateDict::from_safetensors(bytes).archive().bytes()),
        None => (name.clone(), bytes.clone()),
    };
    Memory(files.0.iter().map(convert).collect())
}

/// A pickle, opcode by opcode.
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }
    pub fn op(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend(bytes);
        self
    }
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }
    pub fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }
    pub fn int(&mut self, number: u32) -> &mut Self {
        match number {
            0..=0xFF => self.op(&[b'K', number as u8]),
            0x100..=0xFFFF => self.op(b"M").op(&(number as u16).to_le_bytes()),
            _ => self.op(b"J").op(&number.to_le_bytes()),
        }
    }
    pub fn tuple(&mut self, numbers: &[u32]) -> &mut Self {
        self.op(b"(");
        for &number in numbers {
            self.int(number);
        }
        self.op(b"t")
    }
    pub fn ordered_dict(&mut self) -> &mut Self {
        self.global("collections", "OrderedDict").op(b")R")
    }
}

/// One file of an archive, with the contents of its headers.
pub struct Entry {
    pub name: String,
    pub bytes: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    /// False length for the directory.
    pub size: Option<u64>,
    /// False position for the directory.
    pub position: Option<u64>,
    /// Bytes that follow it and belong to nothing.
    pub padding: usize,
}

/// A zip archive.
pub struct Archive {
    pub entries: Vec<Entry>,
    /// Padding of the data, as torch's; 1 for none.
    pub alignment: usize,
    /// Bytes before a multiple of it where data begin.
    pub shift: usize,
    /// Whether lengths stand after the data once more, as torch writes them.
    pub descriptors: bool,
    /// Whether a zip64 record is written, as torch does.
    pub zip64: bool,
    pub comment: Vec<u8>,
}

impl Default for Archive {
    fn default() -> Self {
        Self { entries: Vec::new(), alignment: 64, shift: 0, descriptors: true, zip64: true, comment: Vec::new() }
    }
}

impl Archive {
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let (name, flags) = (name.to_string(), 0x800);
        self.entries.push(Entry { name, bytes, method: 0, flags, size: None, position: None, padding: 0 });
    }

    /// The file of that name.
    pub fn entry(&mut self, name: &str) -> &mut Entry {
        self.entries.iter_mut().find(|entry| entry.name == name).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let position = out.len();
            let (name, length) = (entry.name.as_bytes(), entry.bytes.len() as u32);
            let flags = entry.flags | if self.descriptors { 8 } else { 0 };
            let crc = crc32(&entry.bytes);
            let sizes = if self.descriptors { [0; 3] } else { [crc, length, length] };
            let least = position + 30 + name.len() + if self.alignment > 1 { 4 } else { 0 };
            let extra =
                (least + self.shift).next_multiple_of(self.alignment) - self.shift - (position + 30 + name.len());
            out.extend(b"PK\x03\x04\0\0");
            out.extend([flags, entry.method, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
            out.extend(sizes.iter().flat_map(|n| n.to_le_bytes()));
            out.extend([name.len() as u16, extra as u16].iter().flat_map(|n| n.to_le_bytes()));
            out.extend(name);
            if extra > 0 {
                out.extend(b"FB");
                out.extend((extra as u16 - 4).to_le_bytes());
                out.extend(std::iter::repeat_n(b'Z', extra - 4));
            }
            out.extend(&entry.bytes);
            if self.descriptors {
                out.extend([0x0807_4b50, crc, length, length].iter().flat_map(|n: &u32| n.to_le_bytes()));
            }
            out.extend(std::iter::repeat_n(0, entry.padding));
            // What does not fit 32 bits stands in an extra field.
            let size = entry.size.unwrap_or(length.into());
            let wide: Vec<u64> = [size, size, entry.position.unwrap_or(position as u64)].to_vec();
            let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
            let field: Vec<u8> = wide.iter().filter(|n| **n >= 0xFFFF_FFFF).flat_map(|n| n.to_le_bytes()).collect();
            let field = if field.is_empty() { field } else { [&[1, 0, field.len() as u8, 0], &field[..]].concat() };
            directory.extend(b"PK\x01\x02\0\0\0\0");
            directory.extend([flags, entry.method, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
            directory.extend(crc.to_le_bytes());
            directory.extend([narrow(wide[0]), narrow(wide[1])].concat());
            directory.extend([name.len() as u16, field.len() as u16, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()));
            directory.extend([0; 4]);
            directory.extend(narrow(wide[2]));
            directory.extend(name);
            directory.extend(field);
        }
        let (offset, count) = (out.len() as u64, self.entries.len() as u64);
        let bytes = directory.len() as u64;
        out.extend(directory);
        if self.zip64 {
            let position = out.len() as u64;
            out.extend(b"PK\x06\x06");
            out.extend(44u64.to_le_bytes());
            out.extend([0; 12]);
            out.extend([count, count, bytes, offset, 0x0706_4b50, position].iter().enumerate().flat_map(|(i, n)| {
                // The fifth is the locator's signature and its disk.
                if i == 4 { [&0x0706_4b50u32.to_le_bytes()[..], &[0; 4]].concat() } else { n.to_le_bytes().to_vec() }
            }));
            out.extend(1u32.to_le_bytes());
        }
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend([count as u16, count as u16].iter().flat_map(|n| n.to_le_bytes()));
        out.extend([bytes as u32, offset as u32].iter().flat_map(|n| n.to_le_bytes()));
        out.extend((self.comment.len() as u16).to_le_bytes());
        out.extend(&self.comment);
        out
    }
}

/// CRC-32 of zip.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}
