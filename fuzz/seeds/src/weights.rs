//! torch checkpoints, put together by hand as `torch.save` lays them out, and safetensors.

use anyhow::Result;
use safetensors::tensor::{Dtype, TensorView};

use crate::Seed;

/// A file in each of torch's formats, at the top and one level below.
pub fn checkpoints() -> Vec<Seed> {
    let (plain, wrapped) = (state_dict(b""), nested(&state_dict(b"")));
    vec![
        ("zip".to_owned(), archive(&plain)),
        ("zip-wrapped".to_owned(), archive(&wrapped)),
        ("zip-64".to_owned(), archive_64(&plain)),
        ("legacy".to_owned(), legacy(&state_dict(b"N"))),
        ("legacy-wrapped".to_owned(), legacy(&nested(&state_dict(b"N")))),
    ]
}

/// The same, and safetensors.
pub fn all() -> Result<Vec<Seed>> {
    let mut seeds = checkpoints();
    for (name, dtype, width) in [("f32", Dtype::F32, 4), ("bf16", Dtype::BF16, 2), ("i64", Dtype::I64, 8)] {
        let data = vec![1; 6 * width];
        let matrix = TensorView::new(dtype, vec![2, 3], &data)?;
        let scalar = TensorView::new(dtype, vec![], &data[..width])?;
        let file =
            safetensors::serialize([("module.a.weight", matrix), ("module.a.running_var", scalar)], None)?;
        seeds.push((format!("safetensors-{name}"), file));
    }
    Ok(seeds)
}

fn text(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A pickle of an ordered dictionary with `weight` `[2, 3]`, transposed in its storage, and `bias` `[3]`.
/// Legacy files say at the end of a storage whether it is a view.
fn state_dict(storage_end: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(".to_vec();
    for (name, offset, size, stride) in [
        ("weight", 0_u8, b"K\x02K\x03".as_slice(), b"K\x01K\x02".as_slice()),
        ("bias", 3, b"K\x03", b"K\x01"),
    ] {
        pickle.extend(text(name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend(text("0").into_iter().chain(text("cpu")));
        pickle.extend(b"K\x06");
        pickle.extend(storage_end);
        pickle.extend(b"tQK");
        pickle.push(offset);
        pickle.extend(b"(".iter().chain(size).chain(b"t(").chain(stride).chain(b"t\x89h\x00)RtR"));
    }
    pickle.extend(b"u.");
    pickle
}

/// A dictionary with the state dict of another pickle and a number.
fn nested(pickle: &[u8]) -> Vec<u8> {
    let inner = &pickle[2..pickle.len() - 1];
    let mut outer = b"\x80\x02}(".to_vec();
    outer.extend(text("epoch"));
    outer.extend(b"M\x2c\x01");
    outer.extend(text("desc"));
    outer.extend(inner);
    outer.extend(b"u.");
    outer
}

fn data() -> Vec<u8> {
    (0..6).flat_map(|number| (number as f32).to_le_bytes()).collect()
}

fn legacy(pickle: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u.");
    file.extend(pickle);
    file.extend(b"\x80\x02](X\x01\x00\x00\x000e.");
    file.extend(6_u64.to_le_bytes());
    file.extend(data());
    file
}

fn archive(pickle: &[u8]) -> Vec<u8> {
    let (mut file, directory) = members(pickle);
    let start = file.len() as u32;
    file.extend(&directory);
    end(&mut file, directory.len() as u32, start);
    file
}

/// As [`archive`], with the end record of large archives.
fn archive_64(pickle: &[u8]) -> Vec<u8> {
    let (mut file, directory) = members(pickle);
    let start = file.len() as u64;
    file.extend(&directory);
    let position = file.len() as u64;
    file.extend(b"PK\x06\x06");
    file.extend(44_u64.to_le_bytes());
    file.extend([0; 12]);
    file.extend([3, 3, directory.len() as u64, start].map(u64::to_le_bytes).concat());
    file.extend(b"PK\x06\x07\0\0\0\0");
    file.extend(position.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    end(&mut file, directory.len() as u32, u32::MAX);
    file
}

fn members(pickle: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in [("w/data.pkl", pickle), ("w/byteorder", b"little"), ("w/data/0", &data())] {
        let start = file.len() as u32;
        let sizes = [bytes.len() as u32; 2].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        file.extend(b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        file.extend(sizes.iter().chain(&lengths).chain(name.as_bytes()).chain(bytes));
        directory.extend(b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        directory.extend(sizes.iter().chain(&lengths).chain(&[0; 10]));
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    (file, directory)
}

fn end(file: &mut Vec<u8>, size: u32, start: u32) {
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([3_u16, 3].map(u16::to_le_bytes).concat());
    file.extend([size, start].map(u32::to_le_bytes).concat());
    file.extend([0, 0]);
}
