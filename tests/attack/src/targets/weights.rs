//! Public weights: safetensors, and archives of PyTorch.

use std::io::Write;

use aim_data::Checkpoint;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{
    Target, loose, safetensors,
    samples::{floats, tensors},
    told,
};
use crate::place::{put, within};

/// A file of weights: an archive as it is, a pickle with values beside it, or safetensors.
pub(super) const WEIGHTS: Target = Target {
    name: "weights",
    about: "public weights in safetensors or an archive of PyTorch",
    run: |bytes| {
        let file = match bytes {
            [b'P', b'K', ..] => bytes.to_vec(),
            [0x80, 2, ..] => archive(bytes),
            _ => safetensors(bytes).into_owned(),
        };
        within(
            "weights",
            |_| {},
            |folder| {
                let path = folder.join("net.pth");
                put(&path, &file);
                told(Checkpoint::read(&path)).is_some()
            },
        )
    },
    samples: || {
        let safe = tensors(&[
            ("w", "F32", &[2, 1], floats(&[0.5, 2.])),
            ("h", "BF16", &[2], vec![0; 4]),
            ("n", "I64", &[1], vec![0; 8]),
        ]);
        vec![PROGRAM.to_vec(), archive(PROGRAM), safe.clone(), loose(&safe)]
    },
    words: &[
        "collections\nOrderedDict\n",
        "torch._utils\n_rebuild_tensor_v2\n",
        "torch._utils\n_rebuild_parameter\n",
        "ctorch\nHalfStorage\n",
        "cposix\nsystem\n",
        "storage",
        "state_dict",
        "\u{1}\0\0\0",
        "q\0h\0",
        "}(",
        "tR",
        "tQ",
        "u.",
    ],
    cost: 4,
};

/// The pickle of a state dict of one tensor of two values.
const PROGRAM: &[u8] = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n\
    ((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02tQK\0K\x02\x85K\x01\x85\x89ccollections\n\
    OrderedDict\n)RtRu.";

/// An archive of a pickle, with the values of one storage.
fn archive(program: &[u8]) -> Vec<u8> {
    let mut file = ZipWriter::new(std::io::Cursor::new(vec![]));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in [("net/data.pkl", program), ("net/data/0", &floats(&[0.5, 2., 3.]))] {
        file.start_file(name, options).expect("a name");
        file.write_all(content).expect("memory");
    }
    file.finish().expect("memory").into_inner()
}
