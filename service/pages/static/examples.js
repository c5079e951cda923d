/** Calls to begin with. */

export const EXAMPLES = [
  {
    query: "How is gout treated?",
    documents: [
      "Gout causes sudden pain, redness and swelling in a joint.",
      "Gout is treated with colchicine and anti-inflammatory drugs.",
      "Asthma is treated with inhaled medicines.",
      "Long-term medicines such as allopurinol lower uric acid and prevent further attacks of gout. They are taken every day, also between attacks.",
      "Colchicine is made from the autumn crocus, a plant of the lily order.",
    ],
  },
  {
    query: "Why is the sky blue?",
    documents: [
      "Air molecules scatter short wavelengths of sunlight more than long ones, so blue light reaches the eye from every direction.",
      "The sky above a city at night is brightened by street lamps.",
      "Blue is the favourite colour of many people in surveys.",
      "At sunset the light passes through more air, and most of the blue is scattered out of its way: the sun looks red.",
    ],
  },
  {
    query: "Can I return shoes that I have worn outside?",
    documents: [
      "Returns are free within 30 days. Shoes must be unworn, or worn indoors only, and in their box.",
      "Our running shoes are made of recycled yarn and weigh 240 grams.",
      "Refunds are paid to the card you used within five working days after the parcel has reached us.",
      "A defect is never your fault: send shoes back within two years, worn or not, if a seam or a sole gives way.",
    ],
  },
];
