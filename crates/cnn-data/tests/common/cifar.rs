//! CIFAR's files of two images, as their authors and today's Python write them.

/// The bytes of an image: three planes of 32x32 values below 120.
pub(crate) const PIXELS: usize = 3072;

/// The values of two images.
pub(crate) fn pixels() -> Vec<u8> {
    (0..2 * PIXELS)
        .map(|place| ((place * 7 + place / 1024 * 31) % 120) as u8)
        .collect()
}

/// A binary file: for each image these labels and its values.
pub(crate) fn binary(labels: [&[u8]; 2]) -> Vec<u8> {
    let pixels = pixels();
    let records = labels.into_iter().zip(pixels.chunks_exact(PIXELS));
    records
        .flat_map(|(labels, pixels)| [labels, pixels].concat())
        .collect()
}

/// What a pickle of `{"labels": [6, 9], "data": …}` has before its values and after them: as
/// Python 2 wrote CIFAR-10's files, and then by numpy 2.4 with
/// `pickle.dumps({"labels": [6, 9], "data": data}, protocol)` for the protocols 2, 4 and 5, and for
/// labels of `numpy.array([6, 9])`.
const PICKLES: [(&[u8], &[u8]); 5] = [
    (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(\
          K\x06K\x09eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08\
          K\x00\x85U\x01b\x87Rq\x09(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87R\
          q\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x18\x00\x00",
        b"tbu.",
    ),
    (
        b"\x80\x02}q\x00(X\x06\x00\x00\x00labelsq\x03]q\x04(K\x06K\teX\x04\x00\x00\x00dataq\x05\
          cnumpy._core.multiarray\n_reconstruct\nq\x06cnumpy\nndarray\nq\x07K\x00\x85q\x08c_codecs\n\
          encode\nq\tX\x01\x00\x00\x00bq\nX\x06\x00\x00\x00latin1q\x0b\x86q\x0cRq\r\x87q\x0eRq\x0f(\
          K\x01K\x02M\x00\x0c\x86q\x10cnumpy\ndtype\nq\x11X\x02\x00\x00\x00u1q\x12\x89\x88\x87q\x13Rq\
          \x14(K\x03X\x01\x00\x00\x00|q\x15NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x16b\x89h\tX\
          \x00\x18\x00\x00",
        b"q\x17h\x0b\x86q\x18Rq\x19tq\x1abu.",
    ),
    (
        b"\x80\x04\x95\xdd\x18\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0bbatch_label\x94\x8c\x01x\x94\x8c\
          \x06labels\x94]\x94(K\x06K\te\x8c\x04data\x94\x8c\x16numpy._core.multiarray\x94\x8c\x0c\
          _reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\x94\x93\x94K\x00\x85\x94C\x01b\x94\
          \x87\x94R\x94(K\x01K\x02M\x00\x0c\x86\x94h\t\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\
          \x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94b\x89B\x00\
          \x18\x00\x00",
        b"\x94t\x94bu.",
    ),
    (
        b"\x80\x05\x95\xc5\x18\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0bbatch_label\x94\x8c\x01x\x94\x8c\
          \x06labels\x94]\x94(K\x06K\te\x8c\x04data\x94\x8c\x13numpy._core.numeric\x94\x8c\x0b\
          _frombuffer\x94\x93\x94(\x96\x00\x18\x00\x00\x00\x00\x00\x00",
        b"\x94\x8c\x05numpy\x94\x8c\x05dtype\x94\x93\x94\x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\
          \x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t\x94bK\x02M\x00\x0c\x86\x94\x8c\x01C\x94\
          t\x94R\x94u.",
    ),
    (
        b"\x80\x04\x95\xf5\x18\x00\x00\x00\x00\x00\x00}\x94(\x8c\x06labels\x94\x8c\x16\
          numpy._core.multiarray\x94\x8c\x0c_reconstruct\x94\x93\x94\x8c\x05numpy\x94\x8c\x07ndarray\
          \x94\x93\x94K\x00\x85\x94C\x01b\x94\x87\x94R\x94(K\x01K\x02\x85\x94h\x05\x8c\x05dtype\x94\x93\
          \x94\x8c\x02i8\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01<\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\
          \xffK\x00t\x94b\x89C\x10\x06\x00\x00\x00\x00\x00\x00\x00\t\x00\x00\x00\x00\x00\x00\x00\x94t\
          \x94b\x8c\x04data\x94h\x04h\x07K\x00\x85\x94h\t\x87\x94R\x94(K\x01K\x02M\x00\x0c\x86\x94h\x0e\
          \x8c\x02u1\x94\x89\x88\x87\x94R\x94(K\x03\x8c\x01|\x94NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff\
          K\x00t\x94b\x89B\x00\x18\x00\x00",
        b"\x94t\x94bu.",
    ),
];

/// The pickles of [`PICKLES`] with [`pixels`], whose labels are 6 and 9.
pub(crate) fn pickles() -> Vec<Vec<u8>> {
    let pickle = |(before, after): (&[u8], &[u8])| [before, &pixels(), after].concat();
    PICKLES.map(pickle).to_vec()
}

/// `pickle.dumps({NAME: [the words]}, protocol=2)`.
pub(crate) fn names_pickle(name: &str, words: &[&str]) -> Vec<u8> {
    let text = |text: &str| [&[b'X', text.len() as u8, 0, 0, 0][..], text.as_bytes()].concat();
    let words: Vec<Vec<u8>> = words.iter().map(|word| text(word)).collect();
    [
        b"\x80\x02}".to_vec(),
        text(name),
        b"](".to_vec(),
        words.concat(),
        b"es.".to_vec(),
    ]
    .concat()
}
