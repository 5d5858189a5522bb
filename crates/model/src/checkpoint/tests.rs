//! Hand-made files: what a checkpoint must not do, and files that are cut or
//! altered. Real ones are read in `tests/checkpoint_fixtures.rs`.

use super::*;
use proptest::prelude::*;
use tch::Kind;

/// `weight` `[2, 3]` of f32, transposed in its storage of six elements.
fn state_dict_pickle(storage_end: &[u8]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(X\x06\x00\x00\x00weightctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
    pickle
        .extend(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06");
    pickle.extend(storage_end);
    pickle.extend(b"tQK\x00(K\x02K\x03t(K\x01K\x02t\x89ccollections\nOrderedDict\n)RtRu.");
    pickle
}

fn data() -> Vec<u8> {
    (0..6).flat_map(|number| (number as f32).to_le_bytes()).collect()
}

fn legacy(object: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0a".to_vec();
    file.extend(LEGACY_MAGIC);
    file.extend(b".\x80\x02M\xe9\x03.");
    file.extend(b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u.");
    file.extend(object);
    file.extend(b"\x80\x02](X\x01\x00\x00\x000e.");
    file.extend(6_u64.to_le_bytes());
    file.extend(data());
    file
}

/// A zip archive of stored members.
fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let start = file.len() as u32;
        let sizes = [bytes.len() as u32, bytes.len() as u32].map(u32::to_le_bytes).concat();
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        file.extend(b"PK\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
        file.extend(sizes.iter().chain(&lengths));
        file.extend(name.as_bytes().iter().chain(*bytes));
        directory.extend(b"PK\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00");
        directory.extend(sizes.iter().chain(&lengths));
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (file.len() as u32, members.len() as u16);
    file.extend(&directory);
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend([count, count].map(u16::to_le_bytes).concat());
    file.extend([directory.len() as u32, start].map(u32::to_le_bytes).concat());
    file.extend([0, 0]);
    file
}

fn archive() -> Vec<u8> {
    let pickle = state_dict_pickle(b"");
    zip(&[("w/data.pkl", &pickle), ("w/byteorder", b"little"), ("w/data/0", &data())])
}

fn read(file: &[u8]) -> Result<NamedTensors, CheckpointError> {
    Checkpoint::open(file, &Limits::default())?.find_state_dict()
}

fn refusal(file: &[u8]) -> String {
    read(file).expect_err("it must be refused").to_string()
}

#[test]
fn both_formats_give_the_transposed_tensor() {
    for file in [archive(), legacy(&state_dict_pickle(b"N"))] {
        let tensors = read(&file).expect("it is valid");
        assert_eq!(tensors.len(), 1);
        let (name, tensor) = &tensors[0];
        assert_eq!((name.as_str(), tensor.size(), tensor.kind()), ("weight", vec![2, 3], Kind::Float));
        let values = Vec::<f32>::try_from(tensor.reshape([-1])).expect("f32");
        assert_eq!(values, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }
}

#[test]
fn a_name_outside_the_list_is_refused_by_name() {
    let calls: [(&[u8], &str); 4] = [
        (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.", "posix.system"),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "posix.system"),
        (b"\x80\x02ctorch\nload\n.", "torch.load"),
    ];
    for (pickle, name) in calls {
        let text = refusal(&zip(&[("w/data.pkl", pickle)]));
        assert!(text.contains(&format!("`{name}`")), "{text}");
        assert!(refusal(&legacy(pickle)).contains(name));
    }
}

#[test]
fn an_instruction_outside_the_list_is_refused() {
    // INST, OBJ and NEWOBJ make Python objects; EXT1 looks them up.
    for opcode in [b'i', b'o', 0x81, 0x82] {
        let text = refusal(&zip(&[("w/data.pkl", &[0x80, 2, b'N', b'N', opcode, b'.'])]));
        assert!(text.contains(&format!("{opcode:#04x} at byte 4")), "{text}");
    }
}

#[test]
fn a_tensor_beyond_its_storage_is_refused() {
    let short = data()[..20].to_vec();
    let pickle = state_dict_pickle(b"");
    let file = zip(&[("w/data.pkl", &pickle), ("w/data/0", &short)]);
    assert!(refusal(&file).contains("`weight` reaches beyond its data"));
    let missing = zip(&[("w/data.pkl", &pickle)]);
    assert!(refusal(&missing).contains("`weight` has no data"));
    let position = pickle.windows(4).position(|four| four == b"K\x02K\x03").expect("its size");
    for side in [0xff, 0x04] {
        let mut large = pickle.clone();
        large[position + 3] = side;
        let file = zip(&[("w/data.pkl", &large), ("w/data/0", &data())]);
        assert!(refusal(&file).contains("reaches beyond its data"));
    }
}

#[test]
fn limits_are_kept() {
    let limits = Limits { pickle: 40, ..Limits::default() };
    for file in [archive(), legacy(&state_dict_pickle(b"N"))] {
        let error = Checkpoint::open(&file, &limits).err().expect("its pickle is longer").to_string();
        assert!(error.contains("40 allowed"), "{error}");
    }
    let file = archive();
    let limits = Limits { expansion: 0, ..Limits::default() };
    let checkpoint = Checkpoint::open(&file, &limits).expect("only tensors count");
    let error = checkpoint.find_state_dict().expect_err("no byte is allowed");
    assert!(matches!(error, CheckpointError::TooLarge { .. }), "{error}");
}

#[test]
fn deep_nesting_and_repeated_sharing_cost_nothing() {
    let mut nested = b"\x80\x02)".to_vec();
    nested.extend(vec![0x85; 1_000_000]);
    nested.push(b'.');
    assert!(refusal(&zip(&[("w/data.pkl", &nested)])).contains("no weights"));
    let mut doubled = b"\x80\x02)".to_vec();
    doubled.extend(b"2\x86".repeat(100_000));
    doubled.push(b'.');
    assert!(refusal(&zip(&[("w/data.pkl", &doubled)])).contains("no weights"));
}

#[test]
fn a_long_list_is_not_made_into_dictionaries_again_and_again() {
    // A list of 50,000 references to one pair, of which each round would make a dictionary.
    let mut pickle = b"\x80\x02NN\x86q\x000(]q\x010h\x01(".to_vec();
    pickle.extend(b"h\x00".repeat(50_000));
    pickle.extend(b"eccollections\nOrderedDict\nq\x020");
    pickle.extend(b"h\x02h\x01\x85R0".repeat(100_000));
    pickle.extend(b"N.");
    assert!(refusal(&zip(&[("w/data.pkl", &pickle)])).contains("more dictionaries of a list"));
}

#[test]
fn calls_with_long_argument_lists_are_refused() {
    let mut call = b"\x80\x02ctorch\nSize\n(".to_vec();
    call.extend(b"N".repeat(100));
    call.extend(b"tR.");
    assert!(refusal(&zip(&[("w/data.pkl", &call)])).contains("with 100 arguments"));
    let pickle = state_dict_pickle(b"");
    let position = pickle.windows(5).position(|five| five == b"(K\x02K\x03").expect("its size");
    let mut deep = pickle[..position + 1].to_vec();
    deep.extend(b"K\x01".repeat(17));
    deep.extend(&pickle[position + 5..]);
    assert!(refusal(&zip(&[("w/data.pkl", &deep)])).contains("17 dimensions"));
}

#[test]
fn a_name_that_occurs_twice_is_refused() {
    let pickle = state_dict_pickle(b"");
    let pair = &pickle[4..pickle.len() - 2];
    let twice = [&pickle[..4], pair, pair, b"u."].concat();
    let file = zip(&[("w/data.pkl", &twice), ("w/data/0", &data())]);
    assert!(refusal(&file).contains("`weight` twice"));
}

#[test]
fn what_is_no_checkpoint_is_named() {
    assert!(refusal(b"").contains("neither a zip archive nor a pickle"));
    assert!(refusal(b"\x80\x02N.").contains("torch did not write"));
    assert!(refusal(&zip(&[("a.txt", b"hello")])).contains("exactly one data.pkl"));
    let wrapped = zip(&[("w/data.pkl", b"\x80\x02}(X\x05\x00\x00\x00epochK\x03u.")]);
    assert!(refusal(&wrapped).contains("there is `epoch`"));
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for file in [archive(), legacy(&state_dict_pickle(b"N"))] {
        for length in 0..file.len() {
            assert!(read(&file[..length]).is_err(), "{length} of {}", file.len());
        }
    }
}

proptest! {
    #[test]
    fn altered_files_never_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        from_archive in any::<bool>(),
    ) {
        let mut file = if from_archive { archive() } else { legacy(&state_dict_pickle(b"N")) };
        for (position, value) in changes {
            let position = position % file.len();
            file[position] = value;
        }
        let _ = read(&file);
    }

    #[test]
    fn arbitrary_pickles_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut pickle = vec![0x80, 2];
        pickle.extend(bytes);
        let _ = read(&zip(&[("w/data.pkl", &pickle)]));
        let _ = read(&legacy(&pickle));
    }
}
