"""What AWS's detections and the attack emulations of the field are called, and which playbooks answer them."""
