// No module, as browsers load none from a disk: there an exported page would say nothing.
if (location.protocol === "file:") {
  document.querySelector(".waiting").textContent =
    "Browsers load no modules from a disk, so this page needs a server: in its folder, python3 -m http.server";
}
