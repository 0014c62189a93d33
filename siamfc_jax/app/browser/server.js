/* Calls of the server. */

export class Refused extends Error {
  constructor(message, status) { super(message); this.status = status; }
}

/** The server cannot be reached; status 0. */
export const SILENT = "The server does not answer. Is siamfc serve still running?";
const silent = () => { throw new Refused(SILENT, 0); };

export async function call(method, path, body) {
  const response = await fetch(path, {method, body}).catch(silent);
  const data = await response.json().catch(silent);
  if (!response.ok) throw new Refused(data.error, response.status);
  return data;
}

/** Tells the server something while the page is left; nobody waits for the answer. */
export const tell = (method, path) => fetch(path, {method, keepalive: true}).catch(() => {});

/** Fetches a file: {blob, name, live}; live is what the header Live holds. */
export async function fetchFile(path) {
  const response = await fetch(path).catch(silent);
  if (!response.ok) throw new Refused((await response.json()).error, response.status);
  const [, name] = /filename="(.*)"/.exec(response.headers.get("Content-Disposition")) ?? [];
  const live = JSON.parse(response.headers.get("Live"));
  return {blob: await response.blob().catch(silent), name, live};
}

/** Sends a video; fetch would not tell how far it is. */
export function upload(blob, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", "clips");
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
    request.onerror = () => reject(new Refused(SILENT, 0));
    request.onload = () => request.status === 200 ? resolve(request.response)
      : reject(new Refused(request.response?.error ?? SILENT, request.status));
    request.send(blob);
  });
}

/** Puts several images into one body, each with its length before it. */
export function joinImages(files) {
  const byName = new Intl.Collator("en", {numeric: true});
  const path = (file) => file.webkitRelativePath || file.name;
  const sorted = [...files].sort((a, b) => byName.compare(path(a), path(b)));
  return new Blob(["images\n\0", ...sorted.flatMap((file) => {
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, file.size, true);
    return [length, file];
  })]);
}
