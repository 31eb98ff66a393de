//! What tells one data set from another.

use aim_core::Result;
use aim_data::Dataset;

/// CRC-32 of everything in a data set: names, inputs, labels and ids, as its splits tell them.
///
/// # Errors
/// If a sample cannot be read.
pub fn checksum(data: &Dataset) -> Result<u32> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(format!("{:?} {:?}", data.modalities, data.class_names).as_bytes());
    for split in [&data.train, &data.validation, &data.test] {
        split.digest(&mut |bytes| crc.update(bytes))?;
    }
    Ok(crc.finalize())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aim_data::{Dataset, Source, Subset};
    use candle_core::{Device, Tensor};
    use safetensors::View;

    use super::checksum;

    #[test]
    fn the_checksum_of_data_is_that_of_their_bytes_one_after_the_other() {
        // 300 samples are read in two pieces.
        let x = Tensor::arange(0f32, 1800., &Device::Cpu).unwrap();
        let inputs =
            [x.reshape((300, 2, 3)).unwrap(), x.narrow(0, 0, 300).unwrap().reshape((300, 1)).unwrap()].to_vec();
        let (labels, ids): (Vec<u32>, Vec<String>) = (0..300).map(|i| (i % 2, format!("s{i}"))).unzip();
        let split: Arc<dyn Source> = Arc::new(Subset::new(inputs.clone(), labels.clone(), ids.clone()).unwrap());
        let (modalities, class_names) = (vec!["a".to_owned(), "b".to_owned()], vec!["0".to_owned(), "1".to_owned()]);
        let mut bytes = br#"["a", "b"] ["0", "1"]"#.to_vec();
        for _ in 0..3 {
            for (shape, x) in ["[300, 2, 3]", "[300, 1]"].iter().zip(&inputs) {
                bytes.extend(shape.bytes());
                bytes.extend(View::data(x).iter());
            }
            labels.iter().for_each(|y| bytes.extend(y.to_le_bytes()));
            ids.iter().for_each(|id| bytes.extend(id.bytes()));
        }
        let [train, validation, test] = [(); 3].map(|()| Arc::clone(&split));
        let data = Dataset { name: "x".into(), modalities, class_names, train, validation, test };
        assert_eq!(checksum(&data).unwrap(), crc32fast::hash(&bytes));
    }
}
