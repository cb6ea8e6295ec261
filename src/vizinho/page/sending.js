// One request with pictures, that says how much of it was sent: fetch does not.

import { at } from "./api.js";

// -> { status, body, again }; status 0 where nothing answered, again: seconds that the server asks to
// wait. The request is in `open` while it runs; told(share) hears how much of it was sent.
export function upload(form, open, told) {
  const request = new XMLHttpRequest();
  open.add(request);
  return new Promise((done) => {
    request.upload.onprogress = ({ loaded, total }) => told(loaded / (total || 1));
    request.onloadend = () => {
      open.delete(request);
      let body = null;
      try {
        body = JSON.parse(request.responseText);
      } catch {
        // a proxy's page, or nothing
      }
      done({ status: request.status, body, again: Number(request.getResponseHeader("Retry-After")) });
    };
    request.open("POST", at("v1/images"));
    request.send(form);
  });
}
