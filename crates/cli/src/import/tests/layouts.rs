//! Layouts of published collections, and what is held out of them.

use std::collections::BTreeMap;

use super::*;

fn grey(side: usize, value: impl Fn(usize, usize) -> u8) -> Vec<u8> {
    let data = (0..side * side).map(|index| value(index % side, index / side)).collect();
    encode_png(&Tile::new(side, side, 1, data).unwrap()).unwrap()
}

fn hold_out(split: &str, share: f64) -> BTreeMap<String, f64> {
    [(split.to_owned(), share)].into()
}

fn layer_labels(bench: &Bench, imported: &Imported, sample: usize, layer: &str) -> Vec<u32> {
    decode_labels(&member(bench, imported, sample, layer), &Limits::default()).unwrap().data
}

#[test]
fn masks_become_classes_or_instances_and_an_empty_mask_has_none() {
    let bench = Bench::new();
    for name in ["a", "b"] {
        bench.write(&format!("he/{name}.png"), &picture(1));
    }
    // Two squares in the first mask, nothing in the second.
    let squares = |x: usize, y: usize| if (2..5).contains(&y) && x % 8 < 3 { 255 } else { 0 };
    bench.write("masks/a.png", &grey(16, squares));
    bench.write("masks/b.png", &grey(16, |_, _| 0));
    let source = |content| LayerSource { path: bench.path().join("masks"), content };
    let import = Import::Paired(PairedImport {
        primary: bench.path().join("he"),
        layers: BTreeMap::from([
            ("types".to_owned(), source(Content::Mask)),
            ("nuclei".to_owned(), source(Content::Components)),
        ]),
        ..PairedImport::default()
    });
    let imported = bench.import(&import).unwrap();
    assert_eq!(imported.body.layers[1].kind, LayerKind::Instance);
    assert_eq!(imported.body.layers[2].kind, LayerKind::Label);
    assert_eq!(imported.body.source["derived_layers"]["nuclei"], "components");
    let nuclei = layer_labels(&bench, &imported, 0, "nuclei");
    let types = layer_labels(&bench, &imported, 0, "types");
    assert_eq!((nuclei[2 * 16], nuclei[2 * 16 + 8], nuclei[0]), (1, 2, 0));
    assert_eq!(types.iter().filter(|&&class| class == 1).count(), 2 * 9);
    assert!(layer_labels(&bench, &imported, 1, "nuclei").iter().all(|&number| number == 0));
}

#[test]
fn gaps_in_instance_numbers_are_kept() {
    let bench = Bench::new();
    bench.write("he/a.png", &picture(1));
    let numbers: Vec<u32> = (0..256).map(|index| [0, 7, 0, 40_000][(index / 4) % 4]).collect();
    let map = Tile::new(16, 16, 1, numbers.clone()).unwrap();
    bench.write("inst/a.png", &encode_labels_png(&map).unwrap());
    let source = LayerSource { path: bench.path().join("inst"), content: Content::Instance };
    let import = Import::Paired(PairedImport {
        primary: bench.path().join("he"),
        layers: [("instances".to_owned(), source)].into(),
        ..PairedImport::default()
    });
    let imported = bench.import(&import).unwrap();
    assert_eq!(layer_labels(&bench, &imported, 0, "instances"), numbers);
}

/// Twelve tiles of six patients, two each.
fn patients(bench: &Bench) -> Import {
    let mut csv = "path,group\n".to_owned();
    for index in 0..12_u8 {
        bench.write(&format!("tiles/{index:02}.png"), &picture(index));
        csv += &format!("{index:02}.png,patient {}\n", index / 2);
    }
    let groups = bench.write("tiles/groups.csv", csv.as_bytes());
    let path = bench.path().join("tiles");
    Import::Folder(FolderImport { path, groups: Some(groups), ..FolderImport::default() })
}

#[test]
fn whole_groups_are_held_out_and_always_the_same() {
    let bench = Bench::new();
    let change = Change {
        hold_out: [("test".to_owned(), 0.3), ("valid".to_owned(), 0.2)].into(),
        ..Change::default()
    };
    let import = changed(&patients(&bench), change);
    let imported = bench.import(&import).unwrap();
    let splits = BTreeMap::from([("test".into(), 4), ("train".into(), 6), ("valid".into(), 2)]);
    assert_eq!(imported.body.splits, splits);
    let mut split_of_patient = BTreeMap::new();
    for sample in &bench.dataset(&imported).samples {
        let known = split_of_patient.insert(sample.group.clone().unwrap(), sample.split.clone());
        assert!(known.is_none_or(|known| known == sample.split), "{sample:?} is on two sides");
    }
    assert_eq!(imported.digest, bench.import(&import).unwrap().digest);
}

#[test]
fn what_cannot_be_held_out_is_said() {
    let bench = Bench::new();
    let too_much = Change { hold_out: hold_out("test", 0.95), ..Change::default() };
    let error = bench.import(&changed(&patients(&bench), too_much)).unwrap_err().to_string();
    assert!(error.contains("train has 6") && error.contains("column"), "{error}");

    let other = Bench::new();
    let known = Change { hold_out: hold_out("test", 0.5), ..Change::default() };
    let error = other.import(&changed(&other.labelled(), known)).unwrap_err().to_string();
    assert!(error.contains("split test already"), "{error}");

    let by_column =
        Change { hold_out: hold_out("test", 0.5), hold_out_by: HoldOutBy::Column, ..Change::default() };
    let error = bench.import(&changed(&patients(&bench), by_column)).unwrap_err().to_string();
    assert!(error.contains("column needs tile"), "{error}");
}

/// A strip of four panels of 32 px, the panel's number in every pixel.
fn strips(bench: &Bench) -> Import {
    let data = (0..128 * 32).flat_map(|index| [(index % 128 / 32) as u8 * 50; 3]).collect();
    bench.write("strips/one.png", &encode_png(&Tile::new(128, 32, 3, data).unwrap()).unwrap());
    Import::Strips(StripsImport {
        path: bench.path().join("strips"),
        panels: ["ihc", "-", "dapi", "marker"].map(str::to_owned).into(),
        ..StripsImport::default()
    })
}

#[test]
fn panels_of_a_strip_become_layers() {
    let bench = Bench::new();
    let imported = bench.import(&strips(&bench)).unwrap();
    assert_eq!(imported.body.primary, "ihc");
    let names: Vec<&str> = imported.body.layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["ihc", "dapi", "marker"]);
    for (layer, value) in [("ihc", 0), ("dapi", 100), ("marker", 150)] {
        let tile = decode(&member(&bench, &imported, 0, layer), &Limits::default()).unwrap();
        assert_eq!((tile.width, tile.height), (32, 32));
        assert!(tile.data.iter().all(|&found| found == value), "{layer}");
    }
}

#[test]
fn the_rightmost_columns_of_a_single_strip_can_be_held_out() {
    let bench = Bench::new();
    let change = Change {
        tile: Some(8),
        hold_out: hold_out("test", 0.25),
        hold_out_by: HoldOutBy::Column,
        ..Change::default()
    };
    let imported = bench.import(&changed(&strips(&bench), change)).unwrap();
    assert_eq!(imported.body.splits, BTreeMap::from([("test".into(), 4), ("train".into(), 12)]));
    let dataset = bench.dataset(&imported);
    let tested = dataset.samples.iter().filter(|sample| sample.split.as_deref() == Some("test"));
    assert!(tested.into_iter().all(|sample| sample.key.ends_with("_c003")));
}

#[test]
fn a_strip_that_its_panels_cannot_fill_is_listed() {
    let bench = Bench::new();
    let import = strips(&bench);
    bench.write("strips/two.png", &encode_png(&tile(1, 30)).unwrap());
    let error = bench.import(&import).unwrap_err().to_string();
    assert!(error.contains("two.png") && error.contains("4 panels"), "{error}");
    let Import::Strips(mut strips) = import else { unreachable!() };
    strips.panels = vec!["ihc".to_owned(), "ihc".to_owned()];
    let error = bench.import(&Import::Strips(strips)).unwrap_err().to_string();
    assert!(error.contains("named twice"), "{error}");
}

/// A NumPy file of version 1.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn doubles(values: impl IntoIterator<Item = u32>) -> Vec<u8> {
    values.into_iter().flat_map(|value| f64::from(value).to_le_bytes()).collect()
}

/// Two rows of 16 x 16 px; each holds a neoplastic nucleus in its first row of pixels.
fn pannuke(bench: &Bench) -> Import {
    let pixels = 2 * 16 * 16;
    let images = doubles((0..pixels * 3).map(|index| index % 256));
    let masks = doubles(
        (0..pixels).flat_map(|pixel| if pixel % 256 < 16 { [9, 0, 0, 0, 0, 0] } else { [0, 0, 0, 0, 0, 1] }),
    );
    let tissues: Vec<u8> = ["Breast", "Colon"]
        .iter()
        .flat_map(|tissue| tissue.chars().chain(std::iter::repeat('\0')).take(13))
        .flat_map(|letter| u32::from(letter).to_le_bytes())
        .collect();
    bench.write("data/Fold 1/images/fold1/images.npy", &npy("<f8", false, "(2, 16, 16, 3)", &images));
    bench.write("data/Fold 1/images/fold1/types.npy", &npy("<U13", false, "(2,)", &tissues));
    bench.write("data/Fold 1/masks/fold1/masks.npy", &npy("<f8", false, "(2, 16, 16, 6)", &masks));
    Import::Pannuke(PannukeImport { path: bench.path().join("data"), ..PannukeImport::default() })
}

#[test]
fn a_fold_of_pannuke_becomes_images_instances_types_and_tissues() {
    let bench = Bench::new();
    let imported = bench.import(&pannuke(&bench)).unwrap();
    assert_eq!(imported.body.classes, ["Breast", "Colon"]);
    assert_eq!(imported.body.splits, BTreeMap::from([("train".into(), 2)]));
    let he = decode(&member(&bench, &imported, 1, "he"), &Limits::default()).unwrap();
    assert_eq!(he.data[..4], [0, 1, 2, 3]);
    assert_eq!(layer_labels(&bench, &imported, 1, "instances").iter().sum::<u32>(), 16);
    assert_eq!(layer_labels(&bench, &imported, 1, "types")[15..17], [1, 0]);
}

#[test]
fn arrays_that_cannot_be_used_say_why() {
    let bench = Bench::new();
    let import = pannuke(&bench);
    let images = bench.path().join("data/Fold 1/images/fold1/images.npy");
    let whole = std::fs::read(&images).unwrap();
    let values = doubles((0..2 * 16 * 16 * 3).map(|_| 300));
    let cases: [(Vec<u8>, &str); 9] = [
        (whole[..whole.len() - 8].to_vec(), "is truncated"),
        (whole[..20].to_vec(), "header is damaged"),
        (b"not an array".to_vec(), "is no NumPy array"),
        (npy(">f8", false, "(2, 16, 16, 3)", &values), "big-endian"),
        (npy("<f8", true, "(2, 16, 16, 3)", &values), "Fortran order"),
        (npy("|O", false, "(2, 16, 16, 3)", &values), "pickled"),
        (npy("<c16", false, "(1, 16, 16, 3)", &values), "neither numbers nor texts"),
        (npy("<f8", false, "(2, 16, 48)", &values), "must have the shape (rows, height, width, 3)"),
        (npy("<f8", false, "(2, 16, 16, 3)", &values), "images.npy[0]: a pixel is 300"),
    ];
    for (bytes, reason) in cases {
        std::fs::write(&images, bytes).unwrap();
        let error = bench.import(&import).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("images.npy"), "{reason}: {error}");
    }
    std::fs::write(&images, whole).unwrap();
    let masks = bench.path().join("data/Fold 1/masks/fold1/masks.npy");
    let fractions: Vec<u8> = (0..2 * 16 * 16 * 6).flat_map(|_| 0.5_f64.to_le_bytes()).collect();
    std::fs::write(&masks, npy("<f8", false, "(2, 16, 16, 6)", &fractions)).unwrap();
    let error = bench.import(&import).unwrap_err().to_string();
    assert!(error.contains("masks.npy a value is 0.5"), "{error}");
    std::fs::remove_file(&masks).unwrap();
    assert!(bench.import(&import).unwrap_err().to_string().contains("masks.npy"));
    assert_eq!(bench.manifests(), 0);
}

/// Two tiles of each of the five centres, the second one for validation in the distribution.
fn camelyon17(bench: &Bench) -> Import {
    let mut table = ",patient,node,x_coord,y_coord,tumor,slide,center,split\n".to_owned();
    for centre in 0..5_u32 {
        let patient = format!("{:03}", centre * 20 + 4);
        for tile in 0..2_u32 {
            let (folder, x) = (format!("patches/patient_{patient}_node_1"), 100 + tile);
            let name = format!("patch_patient_{patient}_node_1_x_{x}_y_7.png");
            bench.write(&format!("cam/{folder}/{name}"), &picture(centre as u8));
            table += &format!("{},{patient},1,{x},7,{tile},{centre},{centre},{tile}\n", centre * 2 + tile);
        }
    }
    bench.write("cam/metadata.csv", table.as_bytes());
    Import::Camelyon17(Camelyon17Import { path: bench.path().join("cam"), ..Camelyon17Import::default() })
}

#[test]
fn camelyon17_has_its_official_split_by_centre() {
    let bench = Bench::new();
    let imported = bench.import(&camelyon17(&bench)).unwrap();
    let splits = [("id_valid", 3), ("test", 2), ("train", 3), ("valid", 2)];
    assert_eq!(imported.body.splits, splits.map(|(split, samples)| (split.to_owned(), samples)).into());
    assert_eq!(imported.body.classes, ["normal", "tumor"]);
    let dataset = bench.dataset(&imported);
    let tested: Vec<_> =
        dataset.samples.iter().filter(|sample| sample.split.as_deref() == Some("test")).collect();
    assert!(
        tested.iter().all(|sample| sample.group.as_deref() == Some("centre_2/patient_044")),
        "{tested:?}"
    );
}

#[test]
fn a_table_that_names_a_missing_file_or_lacks_a_column_is_refused_with_the_place() {
    let bench = Bench::new();
    let import = camelyon17(&bench);
    let missing = "patches/patient_024_node_1/patch_patient_024_node_1_x_101_y_7.png";
    std::fs::remove_file(bench.path().join("cam").join(missing)).unwrap();
    let error = bench.import(&import).unwrap_err().to_string();
    assert!(error.contains(missing) && error.contains("line 5 of metadata.csv"), "{error}");

    let table = bench.path().join("cam/metadata.csv");
    let text = std::fs::read_to_string(&table).unwrap();
    std::fs::write(&table, text.replacen(",center,", ",centre,", 1)).unwrap();
    let error = bench.import(&import).unwrap_err().to_string();
    assert!(error.contains("no column \"center\""), "{error}");
    std::fs::write(&table, text.replacen(",004,1,100,", ",004,1,left,", 1)).unwrap();
    let error = bench.import(&import).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("x_coord"), "{error}");
    std::fs::remove_file(&table).unwrap();
    assert!(bench.import(&import).unwrap_err().to_string().contains("metadata.csv"));
}

#[test]
fn real_layouts_are_imported() {
    let Some(data) = std::env::var_os("COUNTERSTAIN_DATA").map(PathBuf::from) else {
        println!("skipped: COUNTERSTAIN_DATA is not set");
        return;
    };
    let bench = Bench::new();
    let strips = Import::Strips(StripsImport {
        path: data.join("deepliif/train"),
        panels: ["ihc", "hematoxylin", "dapi", "lap2", "marker", "seg"].map(str::to_owned).into(),
        ..StripsImport::default()
    });
    let imported = bench.import(&strips).unwrap();
    assert_eq!(imported.body.layers.len(), 6);
    assert_eq!(imported.body.layers[5].width, Some(512));

    let pannuke = PannukeImport { path: data.join("pannuke"), ..PannukeImport::default() };
    let imported = bench.import(&Import::Pannuke(pannuke)).unwrap();
    assert_eq!((imported.body.samples, imported.body.layers.len()), (2, 3));
    assert!(layer_labels(&bench, &imported, 0, "instances").iter().max() > Some(&5));

    let masks = LayerSource { path: data.join("monuseg/labelcol"), content: Content::Components };
    let monuseg = PairedImport {
        primary: data.join("monuseg/img"),
        layers: [("instances".to_owned(), masks)].into(),
        ..PairedImport::default()
    };
    let imported = bench.import(&Import::Paired(monuseg)).unwrap();
    assert!(layer_labels(&bench, &imported, 0, "instances").iter().max() > Some(&100));

    let source = |folder: &str, content| LayerSource { path: data.join(folder), content };
    let consep = Import::Paired(PairedImport {
        primary: data.join("consep/Train/Images"),
        layers: BTreeMap::from([
            ("instances".to_owned(), source("consep/Train/Inst", Content::Instance)),
            ("types".to_owned(), source("consep/Train/Type", Content::Label)),
        ]),
        groups: Some(data.join("groups.csv")),
        change: Change { hold_out: hold_out("test", 0.25), ..Change::default() },
        ..PairedImport::default()
    });
    let imported = bench.import(&consep).unwrap();
    assert_eq!(imported.body.splits, BTreeMap::from([("test".into(), 7 * 16), ("train".into(), 20 * 16)]));
}
