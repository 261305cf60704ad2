// Read by Node before LocalStack's Kinesis, which listens on every interface and has no setting for it.
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (where, ...rest) {
  return listen.call(this, { ...where, host: "127.0.0.1" }, ...rest);
};
