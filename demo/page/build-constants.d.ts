/** What `scripts/build-page.js` puts in: paths of built files, from the folder of index.html. */
declare const WORKER_FILE: string;
/** The folder of the reference world, with a slash at its end. */
declare const REFERENCE_FOLDER: string;
/** The folder of ONNX Runtime's WebAssembly, with a slash at its end. */
declare const ORT_FOLDER: string;
