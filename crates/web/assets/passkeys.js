// Passkeys. A form with data-passkey="create" or "get" asks the server for a challenge (data-options), lets the browser
// and its authenticator answer it, and is sent with the answer in its field `credential`.

import { solve } from "./proof_of_work.js";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const named = (credentials) => (credentials ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

const ceremonies = {
  create: async (options) => {
    const user = { ...options.user, id: bytes(options.user.id) };
    const challenge = bytes(options.challenge);
    const excludeCredentials = named(options.excludeCredentials);
    const made = await navigator.credentials.create({ publicKey: { ...options, user, challenge, excludeCredentials } });
    return answer(made, {
      attestationObject: text(made.response.attestationObject),
      transports: made.response.getTransports?.(),
    }, { credProps: made.getClientExtensionResults().credProps });
  },
  get: async (options) => {
    const challenge = bytes(options.challenge);
    const allowCredentials = named(options.allowCredentials);
    const got = await navigator.credentials.get({ publicKey: { ...options, challenge, allowCredentials } });
    return answer(got, {
      authenticatorData: text(got.response.authenticatorData),
      signature: text(got.response.signature),
      userHandle: got.response.userHandle ? text(got.response.userHandle) : null,
    });
  },
};

const answer = (credential, response, clientExtensionResults) => JSON.stringify({
  id: credential.id,
  rawId: text(credential.rawId),
  type: credential.type,
  response: { clientDataJSON: text(credential.response.clientDataJSON), ...response },
  clientExtensionResults,
});

const problems = {
  NotAllowedError: "That was cancelled, or it took too long. Nothing has changed. You can try again.",
  // Browsers say the same where the person has no passkey that signs in alone.
  NothingAlone: "That was cancelled, or it took too long. Nothing has changed. If your security key is a second factor only, sign in another way first. You use the key right after.",
  InvalidStateError: "This device or key already holds a passkey for your account.",
  SecurityError: "Passkeys cannot be used at this address. Ask the people who run this service.",
  NotSupportedError: "This device cannot create the kind of passkey that is needed. Try another device or a security key.",
};

const ask = async (url, body) => {
  const headers = { accept: "application/json", "content-type": "application/x-www-form-urlencoded" };
  const response = await fetch(url, { method: "POST", headers, body: new URLSearchParams(body) });
  if (response.status !== 429 || body.solution) return response;
  // Many have come from this network: after some work it goes on.
  const { challenge, bits } = (await response.json()).proof_of_work ?? {};
  return challenge ? ask(url, { challenge, solution: await solve(challenge, bits) }) : response;
};

const wire = (form) => {
  const [button, problem] = [form.querySelector("button"), form.querySelector("[role=alert]")];
  const say = (words) => {
    problem.textContent = words;
    problem.hidden = false;
  };
  if (!window.PublicKeyCredential || !navigator.credentials) {
    button.disabled = true;
    say("This browser cannot use passkeys. Use a current version of Chrome, Edge, Firefox or Safari.");
    return;
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled || !form.reportValidity()) return;
    button.disabled = true;
    problem.hidden = true;
    let alone = false;
    try {
      const response = await ask(form.dataset.options, {});
      if (response.status === 401 || response.status === 403) {
        // The session has ended, or another proof is due first: the page itself leads there. Not reload(): a page that
        // answered a form would be sent again.
        location.assign(form.dataset.page);
        return;
      }
      if (response.status === 409) {
        say("You have no passkey that can be used.");
        return;
      }
      if (response.status === 429) {
        say("That was tried too often. Please wait a minute, then try again.");
        button.disabled = false;
        return;
      }
      if (!response.ok) throw new Error(`${response.status}`);
      const options = await response.json();
      alone = form.dataset.passkey === "get" && !options.allowCredentials?.length;
      form.elements.credential.value = await ceremonies[form.dataset.passkey](options);
      form.submit();
    } catch (error) {
      const name = alone && error.name === "NotAllowedError" ? "NothingAlone" : error.name;
      say(problems[name] ?? "Something went wrong. Nothing has changed. Please try again in a moment.");
      button.disabled = false;
    }
  });
};

document.querySelectorAll("form[data-passkey]").forEach(wire);
